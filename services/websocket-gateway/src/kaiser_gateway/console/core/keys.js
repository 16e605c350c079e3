/** Keys under which things are found; pure. */

export const sensorKey = ({ esp_id: espId, gpio, sensor_type: type, address }) => `${espId}/${gpio}/${type}/${address ?? ""}`;
