import io.kubernetes.client.extended.leaderelection.*;
import io.kubernetes.client.extended.leaderelection.resourcelock.LeaseLock;
import io.kubernetes.client.util.ClientBuilder;
import java.time.Duration;

/** Contends for a Lease until SIGTERM, ends its work then, and releases the Lease. */
class Main {
    static boolean led = false;

    static synchronized void tell(boolean leads) {
        if (leads != led) System.out.println(System.nanoTime() + (leads ? " leads" : " follows"));
        led = leads;
    }

    public static void main(String[] arguments) throws Exception {
        var lock = new LeaseLock(System.getenv("NAMESPACE"), System.getenv("LEASE_NAME"), System.getenv("IDENTITY"),
            ClientBuilder.standard().build());
        var config = new LeaderElectionConfig(lock, Duration.ofSeconds(5), Duration.ofSeconds(3), Duration.ofSeconds(1));
        var elector = new LeaderElector(config, Throwable::printStackTrace);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            // The library says so only while it releases the Lease.
            tell(false);
            elector.close();
        }));
        elector.run(() -> tell(true), () -> tell(false));
    }
}
