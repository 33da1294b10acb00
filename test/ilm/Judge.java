import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

import org.elasticsearch.xcontent.NamedXContentRegistry;
import org.elasticsearch.xcontent.ParseField;
import org.elasticsearch.xcontent.XContentParserConfiguration;
import org.elasticsearch.xcontent.json.JsonXContent;
import org.elasticsearch.xpack.core.ilm.DeleteAction;
import org.elasticsearch.xpack.core.ilm.LifecycleAction;
import org.elasticsearch.xpack.core.ilm.LifecyclePolicy;
import org.elasticsearch.xpack.core.ilm.LifecycleType;
import org.elasticsearch.xpack.core.ilm.TimeseriesLifecycleType;

/**
 * What Elasticsearch does with the body of PUT _ilm/policy before it stores it: parse and
 * validate. For each file it prints a line: taken, or why not.
 */
public class Judge {
    public static void main(String[] files) throws Exception {
        var names = new NamedXContentRegistry(List.of(
            new NamedXContentRegistry.Entry(LifecycleType.class, new ParseField("timeseries"), p -> TimeseriesLifecycleType.INSTANCE),
            new NamedXContentRegistry.Entry(LifecycleAction.class, new ParseField("delete"), DeleteAction::parse)));
        var configuration = XContentParserConfiguration.EMPTY.withRegistry(names);
        for (String file : files) {
            try (var parser = JsonXContent.jsonXContent.createParser(configuration, Files.readAllBytes(Path.of(file)))) {
                parser.nextToken(); // {
                parser.nextToken(); // "policy"
                LifecyclePolicy policy = LifecyclePolicy.parse(parser, "cadvisor");
                policy.validate();
                System.out.println("taken, deletes after " + policy.getPhases().get("delete").getMinimumAge().getStringRep());
            } catch (Exception e) {
                System.out.println("refused: " + e.getMessage());
            }
        }
    }
}
