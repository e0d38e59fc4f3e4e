import java.io.IOException;

/** Asks {@code elector-agent check} before each act. It reads STATUS_FILE, and exits with 0 only if this pod leads. */
class App {
    /** What the leader does. Short, as the look is over once it begins. */
    static void act() {}

    public static void main(String[] arguments) throws IOException, InterruptedException {
        boolean led = false;
        while (true) {
            boolean leads = new ProcessBuilder("elector-agent", "check").inheritIO().start().waitFor() == 0;
            if (leads != led) {
                System.out.println("leads: " + leads);
                led = leads;
            }
            if (leads) act();
            Thread.sleep(500);
        }
    }
}
