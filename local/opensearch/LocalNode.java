import java.io.IOException;
import java.io.PrintStream;
import java.util.List;
import java.util.Map;
import org.opensearch.common.settings.Settings;
import org.opensearch.http.HttpServerTransport;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.transport.Netty4Plugin;

/**
 * One OpenSearch node for this machine alone: {@code LocalNode DATA_FOLDER HTTP_PORT HTTP_HOST}.
 *
 * <p>It prints {@code listening PORT} once it answers, and lives for as long as its standard input stays open:
 * the kernel closes that pipe when the parent dies, however it dies. The log goes to standard error.
 */
final class LocalNode extends Node {
    private LocalNode(Settings settings) {
        // The public constructors know no plugins; this one takes the HTTP transport as a class from the classpath.
        super(InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "local"),
            List.of(Netty4Plugin.class), false);
    }

    public static void main(String[] arguments) {
        PrintStream answers = System.out;
        // log4j's own default writes to standard output, which belongs to the parent.
        System.setOut(System.err);
        // From the first moment, so that a parent which dies during the start leaves nothing behind either.
        new Thread(LocalNode::exitWhenInputEnds, "parent").start();
        try {
            LocalNode node = new LocalNode(Settings.builder()
                .put("path.home", arguments[0])
                .put("http.port", arguments[1])
                .put("http.host", arguments[2])
                .put("transport.port", 0)
                .put("network.host", "127.0.0.1")
                .put("discovery.type", "single-node")
                .put("http.type", "netty4")
                .put("transport.type", "netty4")
                .put("cluster.routing.allocation.disk.threshold_enabled", false)
                .build());
            Runtime.getRuntime().addShutdownHook(new Thread(node::closeQuietly, "close"));
            node.start();
            HttpServerTransport http = node.injector().getInstance(HttpServerTransport.class);
            answers.println("listening " + http.boundAddress().publishAddress().getPort());
        } catch (Exception failure) {
            failure.printStackTrace();
            System.exit(1);
        }
    }

    private static void exitWhenInputEnds() {
        try {
            System.in.transferTo(PrintStream.nullOutputStream());
        } catch (IOException closed) {
            // A broken pipe says the same as its end.
        }
        System.exit(0);
    }

    private void closeQuietly() {
        try {
            close();
        } catch (IOException failure) {
            failure.printStackTrace();
        }
    }
}
