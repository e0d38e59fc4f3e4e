import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;

/** Asks the agent before each act. No answer in time, or any other than 200, and it does not lead. */
class App {
    static final String ADDRESS = System.getenv().getOrDefault("ELECTOR_ADDRESS", "127.0.0.1:4040");
    static final HttpClient CLIENT = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    static final HttpRequest REQUEST =
        HttpRequest.newBuilder(URI.create("http://" + ADDRESS + "/isLeader")).timeout(Duration.ofMillis(500)).build();

    static boolean isLeader() throws InterruptedException {
        try {
            return CLIENT.send(REQUEST, BodyHandlers.discarding()).statusCode() == 200;
        } catch (IOException noAnswer) {
            return false;
        }
    }

    /** What the leader does. Short, as the answer is of the past once it begins. */
    static void act() {}

    public static void main(String[] arguments) throws InterruptedException {
        boolean led = false;
        while (true) {
            boolean leads = isLeader();
            if (leads != led) {
                System.out.println("leads: " + leads);
                led = leads;
            }
            if (leads) act();
            Thread.sleep(500);
        }
    }
}
