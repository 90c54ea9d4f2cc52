import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

import io.debezium.transforms.ExtractNewRecordState;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.sink.SinkRecord;

/**
 * Reads topics to their end as a sink in Kafka Connect does: Connect's own converter, Debezium's own
 * ExtractNewRecordState. Prints a line for each record: topic, key and row as JSON, tabs between.
 *
 * Arguments: brokers, topics.
 */
public class Consumer {
    public static void main(String[] arguments) {
        var out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, UTF_8);
        Map<String, Object> settings = Map.of(
            "bootstrap.servers", arguments[0],
            "isolation.level", "read_committed",
            "key.deserializer", ByteArrayDeserializer.class,
            "value.deserializer", ByteArrayDeserializer.class);
        JsonConverter keys = converter(true, true), values = converter(true, false);
        JsonConverter shown = converter(false, false);
        var rows = new ExtractNewRecordState<SinkRecord>();
        rows.configure(Map.of("delete.tombstone.handling.mode", "tombstone"));
        try (var consumer = new KafkaConsumer<byte[], byte[]>(settings)) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (int at = 1; at < arguments.length; at++) {
                partitions.add(new TopicPartition(arguments[at], 0));
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            var ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(one -> consumer.position(one) < ends.get(one))) {
                for (ConsumerRecord<byte[], byte[]> one : consumer.poll(Duration.ofSeconds(1))) {
                    SchemaAndValue key = keys.toConnectData(one.topic(), one.key());
                    SchemaAndValue value = values.toConnectData(one.topic(), one.value());
                    SinkRecord row = rows.apply(new SinkRecord(one.topic(), one.partition(),
                        key.schema(), key.value(), value.schema(), value.value(), one.offset()));
                    if (row != null) {
                        out.println(one.topic()
                            + "\t" + json(shown, row.keySchema(), row.key())
                            + "\t" + json(shown, row.valueSchema(), row.value()));
                    }
                }
            }
        }
        out.flush();
    }

    private static JsonConverter converter(boolean schemas, boolean isKey) {
        var converter = new JsonConverter();
        converter.configure(
            Map.of("schemas.enable", schemas, "decimal.format", "NUMERIC"), isKey);
        return converter;
    }

    private static String json(
        JsonConverter shown, org.apache.kafka.connect.data.Schema schema, Object value) {
        byte[] text = shown.fromConnectData("", schema, value);
        return text == null ? "null" : new String(text, UTF_8);
    }
}
