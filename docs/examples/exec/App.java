/** Run by {@code elector-agent exec}: it runs only while this pod leads, and is to end within 2.4 s of SIGTERM. */
class App {
    /** What the leader does, with the token for whoever checks it. */
    static void act(String token) {}

    public static void main(String[] arguments) throws InterruptedException {
        String token = System.getenv("LEADER_ELECTION_FENCING_TOKEN");
        Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("leads: false")));
        System.out.println("leads: true, token " + token);
        while (true) {
            act(token);
            Thread.sleep(500);
        }
    }
}
