import java.nio.file.Files;
import java.nio.file.Path;

/** Looks at the file before each act: it exists only while this pod leads. */
class App {
    static final Path STATUS_FILE =
        Path.of(System.getenv().getOrDefault("STATUS_FILE", "/run/leader-election/leader_status"));

    /** What the leader does. Short, as the look is over once it begins. */
    static void act() {}

    public static void main(String[] arguments) throws InterruptedException {
        boolean led = false;
        while (true) {
            boolean leads = Files.isRegularFile(STATUS_FILE);
            if (leads != led) {
                System.out.println("leads: " + leads);
                led = leads;
            }
            if (leads) act();
            Thread.sleep(500);
        }
    }
}
