// Serves a script of conversations on a free port, prints its address, and ends with its input.
import { readFileSync } from "node:fs";
import { LLMock } from "@copilotkit/aimock";

const mock = new LLMock({ port: 0, strict: true, logLevel: "silent", chunkSize: 7 });
for (const { match, response } of JSON.parse(readFileSync(process.argv[2], "utf8")).fixtures) {
  mock.addFixture({ match, response });
}
await mock.start();
console.log(mock.url);
process.stdin.resume();
process.stdin.on("end", async () => {
  await mock.stop();
  process.exit(0);
});
