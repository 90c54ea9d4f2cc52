// Debezium's embedded engine as it is: JSON of each event, made and dropped. Run by `bench.kafka` and
// by the tests as: java -cp 'LIBS/*' bench/Embedded.java PROPERTIES [KEEP]
// It says "done N" of each row of a table `done`; with KEEP it writes topic, key and value of each
// event into that file, as lines of JSON.

import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.Json;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.OutputStreamWriter;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Properties;

public class Embedded {
    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        try (FileInputStream file = new FileInputStream(arguments[0])) {
            properties.load(file);
        }
        Writer keep = arguments.length < 2 ? null
            : new OutputStreamWriter(new FileOutputStream(arguments[1]), StandardCharsets.UTF_8);
        DebeziumEngine.create(Json.class).using(properties)
            .notifying((List<ChangeEvent<String, String>> events,
                        DebeziumEngine.RecordCommitter<ChangeEvent<String, String>> committer) -> {
                try {
                    for (ChangeEvent<String, String> event : events) {
                        if (keep != null) {
                            keep.write("[\"" + event.destination() + "\"," + event.key() + ","
                                + event.value() + "]\n");
                            keep.flush();
                        }
                        if (event.destination().endsWith(".done") && event.key() != null) {
                            String number = event.key().replaceAll(".*\"number\":(\\d+).*", "$1");
                            System.out.println("done " + number);
                        }
                        committer.markProcessed(event);
                    }
                    committer.markBatchFinished();
                } catch (java.io.IOException error) {
                    throw new java.io.UncheckedIOException(error);
                }
            })
            .build().run();
    }
}
