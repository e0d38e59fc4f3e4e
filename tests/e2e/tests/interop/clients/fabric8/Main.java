import io.fabric8.kubernetes.client.KubernetesClientBuilder;
import io.fabric8.kubernetes.client.extended.leaderelection.*;
import io.fabric8.kubernetes.client.extended.leaderelection.resourcelock.LeaseLock;
import java.time.Duration;

/** Contends for a Lease until SIGTERM, ends its work then, and releases the Lease. */
class Main {
    static boolean led = false;

    static synchronized void tell(boolean leads) {
        if (leads != led) System.out.println(System.nanoTime() + (leads ? " leads" : " follows"));
        led = leads;
    }

    public static void main(String[] arguments) throws Exception {
        var lock = new LeaseLock(System.getenv("NAMESPACE"), System.getenv("LEASE_NAME"), System.getenv("IDENTITY"));
        var config = new LeaderElectionConfigBuilder().withName("test").withLock(lock).withReleaseOnCancel(true)
            .withLeaseDuration(Duration.ofSeconds(5)).withRenewDeadline(Duration.ofSeconds(3))
            .withRetryPeriod(Duration.ofSeconds(1))
            .withLeaderCallbacks(new LeaderCallbacks(() -> tell(true), () -> tell(false), leader -> {})).build();
        var client = new KubernetesClientBuilder().build();
        var run = client.leaderElector().withConfig(config).build().start();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            // The library says so only once it has released the Lease.
            tell(false);
            run.cancel(true);
        }));
        run.get();
    }
}
