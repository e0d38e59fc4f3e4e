import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.HttpURLConnection;
import java.net.Proxy;
import java.net.URI;
import java.util.regex.Pattern;

/** Is told by the agent when this pod begins and ceases to lead. A stream that ends, or is silent, says that it does not. */
class App {
    static final String ADDRESS = System.getenv().getOrDefault("ELECTOR_ADDRESS", "127.0.0.1:4040");
    /** In milliseconds; the agent says something every 15 s. */
    static final int SILENCE = 30_000;
    static final Pattern IS_LEADER = Pattern.compile("\"is_leader\"\\s*:\\s*true");

    static volatile boolean leads;

    static void tell(boolean isLeader) {
        if (isLeader != leads) System.out.println("leads: " + isLeader);
        leads = isLeader;
    }

    static void listen() throws IOException {
        var connection = (HttpURLConnection) URI.create("http://" + ADDRESS + "/sse").toURL().openConnection(Proxy.NO_PROXY);
        connection.setConnectTimeout(1_000);
        connection.setReadTimeout(SILENCE);
        try (var lines = new BufferedReader(new InputStreamReader(connection.getInputStream(), UTF_8))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                if (line.startsWith("data:")) tell(IS_LEADER.matcher(line).find());
            }
        } finally {
            tell(false);
        }
    }

    /** What the leader does. Short, as it may be told while this runs that it leads no more. */
    static void act() {}

    static void work() {
        try {
            while (true) {
                if (leads) act();
                Thread.sleep(500);
            }
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
        }
    }

    public static void main(String[] arguments) throws InterruptedException {
        new Thread(App::work).start();
        while (true) {
            try {
                listen();
            } catch (IOException error) {
                System.err.println(error);
            }
            Thread.sleep(1_000);
        }
    }
}
