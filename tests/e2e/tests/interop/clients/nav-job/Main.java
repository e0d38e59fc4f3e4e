import no.nav.common.job.leader_election.LeaderElectionHttpClient;

/** Asks before each act, and again 200 ms later. */
class Main {
    public static void main(String[] arguments) throws InterruptedException {
        var client = new LeaderElectionHttpClient();
        boolean led = false;
        while (true) {
            boolean leads = client.isLeader();
            if (leads != led) System.out.println(System.nanoTime() + (leads ? " leads" : " follows"));
            led = leads;
            Thread.sleep(200);
        }
    }
}
