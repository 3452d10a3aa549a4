import { assertEquals } from "@std/assert";
import config from "../deno.json" with { type: "json" };

/** Hono is the class that apps of one's own are made of, and another package's to document. */
const others = ["public type 'DenoiseApp' references private type 'Hono'"];

for (const [name, file] of Object.entries(config.exports)) {
  Deno.test(`deno doc --lint finds nothing in the export "${name}"`, async () => {
    const { stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["doc", "--lint", file],
      cwd: new URL("../", import.meta.url),
      env: { NO_COLOR: "1" },
    }).output();
    const found = [...new TextDecoder().decode(stderr).matchAll(/^error\[.*?\]: (.*)$/gm)]
      .map(([, message]) => message);
    assertEquals(found.filter((message) => !others.includes(message)), []);
  });
}

Deno.test("what is published is the library, its weights and its words", async () => {
  const { stderr, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["publish", "--dry-run", "--allow-dirty", "--no-check"],
    cwd: new URL("../", import.meta.url),
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder().decode(stderr) + new TextDecoder().decode(stdout);
  const files = [...text.matchAll(/file:\/\/(\S+) \([\d.]+/g)].map(([, file]) => file);
  const listed = (pattern: RegExp) => files.filter((file) => pattern.test(file));
  assertEquals(listed(/golden|_test\.ts|\/bench\/|log\.jsonl/), [], text.slice(-2000));
  assertEquals(listed(/mod\.ts$/).length > 0, true, text.slice(-2000));
});
