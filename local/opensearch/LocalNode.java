import java.io.IOException;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.opensearch.common.settings.Settings;
import org.opensearch.http.HttpServerTransport;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.plugins.Plugin;
import org.opensearch.transport.Netty4Plugin;

/**
 * One OpenSearch node for this machine alone: {@code LocalNode DATA_FOLDER HTTP_PORT HTTP_HOST [PLUGIN]}.
 *
 * <p>PLUGIN is the class of one more plugin; its settings are in {@code DATA_FOLDER/config/opensearch.yml}.
 *
 * <p>It prints {@code listening PORT} once it answers, and lives for as long as its standard input stays open:
 * the kernel closes that pipe when the parent dies, however it dies. The log goes to standard error.
 */
final class LocalNode extends Node {
    private LocalNode(Settings settings, List<Class<? extends Plugin>> plugins) {
        // The public constructors know no plugins; this one takes them as classes from the classpath.
        super(InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "local"), plugins, false);
    }

    public static void main(String[] arguments) {
        PrintStream answers = System.out;
        // log4j's own default writes to standard output, which belongs to the parent.
        System.setOut(System.err);
        // From the first moment, so that a parent which dies during the start leaves nothing behind either.
        new Thread(LocalNode::exitWhenInputEnds, "parent").start();
        try {
            List<Class<? extends Plugin>> plugins = new ArrayList<>(List.of(Netty4Plugin.class));
            if (arguments.length > 3) {
                plugins.add(Class.forName(arguments[3]).asSubclass(Plugin.class));
            }
            LocalNode node = new LocalNode(Settings.builder()
                .put("path.home", arguments[0])
                .put("http.port", arguments[1])
                .put("http.host", arguments[2])
                .put("transport.port", 0)
                .put("network.host", "127.0.0.1")
                .put("discovery.type", "single-node")
                .put("path.repo", arguments[0] + "/snapshots")
                .put("cluster.routing.allocation.disk.threshold_enabled", false)
                .build(), plugins);
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
