import static com.fasterxml.jackson.databind.DeserializationFeature.*;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.datatype.jsr310.JavaTimeModule;
import java.io.IOException;
import java.net.InetAddress;
import java.net.URI;
import java.net.http.*;
import java.time.Instant;
import java.util.Objects;

/** Listens to /sse, with types that take no null, as clients in Kotlin have them: an event that does not fit ends it. */
class Main {
    record Leader(String name, @JsonProperty("last_update") Instant lastUpdate) {
        Leader {
            Objects.requireNonNull(name);
            Objects.requireNonNull(lastUpdate);
        }
    }

    static boolean led = false;

    static void tell(boolean leads) {
        if (leads != led) System.out.println(System.nanoTime() + (leads ? " leads" : " follows"));
        led = leads;
    }

    public static void main(String[] arguments) throws Exception {
        var json = JsonMapper.builder().addModule(new JavaTimeModule()).disable(FAIL_ON_UNKNOWN_PROPERTIES).build();
        var hostname = InetAddress.getLocalHost().getHostName();
        var client = HttpClient.newHttpClient();
        var request = HttpRequest.newBuilder(URI.create(System.getenv("ELECTOR_SSE_URL"))).build();
        while (true) {
            try (var lines = client.send(request, HttpResponse.BodyHandlers.ofLines()).body()) {
                for (var events = lines.filter(line -> line.startsWith("data:")).iterator(); events.hasNext(); ) {
                    tell(json.readValue(events.next().substring(5), Leader.class).name().equals(hostname));
                }
            } catch (IOException | java.io.UncheckedIOException gone) {
                if (gone instanceof com.fasterxml.jackson.core.JacksonException) throw gone;
            }
            tell(false);
            Thread.sleep(500);
        }
    }
}
