import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.Proxy;
import java.net.URI;

/**
 * Asks the leader by its Service, and again for as long as nobody answers as the leader. Each time by a new connection:
 * one that is kept leads to the pod that led when it was made.
 */
class App {
    static final URI URL = URI.create(System.getenv().getOrDefault("LEADER_URL", "http://billing-leader"));

    static String ask() {
        try {
            var connection = (HttpURLConnection) URL.toURL().openConnection(Proxy.NO_PROXY);
            connection.setRequestProperty("Connection", "close");
            connection.setConnectTimeout(1_000);
            connection.setReadTimeout(1_000);
            // Of any status from 400 on it throws.
            try (var answer = connection.getInputStream()) {
                return new String(answer.readAllBytes(), UTF_8);
            }
        } catch (IOException nobody) {
            return "nobody";
        }
    }

    public static void main(String[] arguments) throws InterruptedException {
        String before = null;
        while (true) {
            String leader = ask();
            if (!leader.equals(before)) System.out.println("leader: " + leader);
            before = leader;
            Thread.sleep(500);
        }
    }
}
