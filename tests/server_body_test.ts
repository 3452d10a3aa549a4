/** Bodies and forms from strangers: what is read, to the last byte that is allowed, and what is refused. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { z } from "npm:zod@4.6.7";
import { encodePng } from "../src/image/png.ts";
import { readBytes, readJson, requireLength } from "../src/server/http/body.ts";
import { queryOf } from "../src/server/http/schema.ts";
import { readForm, readUpload } from "../src/server/http/uploads.ts";
import { validate } from "../src/server/http/validate.ts";
import { Problem } from "../src/server/problem.ts";
import { file, form, stripes } from "./restoration_forms.ts";

const limits = { maxBodyBytes: 20, bodyTimeoutMs: 60_000 };

const request = (body: BodyInit, headers: Record<string, string> = {}) =>
  new Request("http://here/", {
    method: "POST",
    body,
    headers: { "content-type": "application/json", ...headers },
  });

async function problemOf(work: () => unknown): Promise<Problem> {
  return await assertRejects(async () => await work(), Problem) as Problem;
}

Deno.test("JSON is read under every name that it goes by, and under no other", async () => {
  const types = [
    "application/json",
    "APPLICATION/JSON; charset=utf-8",
    "application/json;charset=utf-8",
    "application/problem+json",
    "application/vnd.my-api.v1+json ; x=1",
  ];
  for (const type of types) {
    assertEquals(await readJson(request("[1]", { "content-type": type }), limits), [1], type);
  }
  for (const type of ["text/json", "application/jsonp", "application/xml", "x application/json"]) {
    const { status, message } = await problemOf(() =>
      readJson(request("[1]", { "content-type": type }), limits)
    );
    assertEquals([status, message], [
      415,
      `content-type: expected application/json, found ${type}`,
    ]);
  }
  const bare = new Request("http://here/", { method: "POST" });
  assert((await problemOf(() => readJson(bare, limits))).message.endsWith("found none"));
});

Deno.test("a body may be just as long as is allowed, whether it says so or not", async () => {
  const exact = JSON.stringify("x".repeat(18)), longer = JSON.stringify("x".repeat(19));
  assertEquals(await readJson(request(exact), limits), "x".repeat(18));
  assertEquals((await problemOf(() => readJson(request(longer), limits))).status, 413);
  const declared = (length: string) => request("{}", { "content-length": length });
  assertEquals(await readJson(declared("20"), limits), {});
  const problem = await problemOf(() => readJson(declared("21"), limits));
  assertEquals([problem.status, problem.headers.connection], [413, "close"]);
  assertEquals(problem.message, "body: expected at most 20 bytes, found 21 bytes");
  for (const coding of ["gzip", "br, identity"]) {
    const coded = request("{}", { "content-encoding": coding });
    const { status, message } = await problemOf(() => requireLength(coded, 20));
    assertEquals([status, message], [415, `content-encoding: expected none, found ${coding}`]);
  }
});

/** A body that comes in pieces, and what became of it. */
function pieces(...texts: (string | Error)[]) {
  const seen = { cancelled: false, pulled: 0 };
  const body = new ReadableStream({
    pull(controller) {
      const next = texts[seen.pulled++];
      if (next === undefined) controller.close();
      else if (next instanceof Error) controller.error(next);
      else controller.enqueue(new TextEncoder().encode(next));
    },
    cancel: () => void (seen.cancelled = true),
  }, { highWaterMark: 0 });
  return { body, seen };
}

Deno.test("pieces are put together in their order; what is too long is read no further", async () => {
  const whole = pieces("[1,", "2", ",3]");
  assertEquals(await readJson(request(whole.body), limits), [1, 2, 3]);
  const long = pieces("x".repeat(15), "y".repeat(15), "z", "z");
  const problem = await problemOf(() => readBytes(request(long.body), 20, 60_000));
  assertEquals([problem.status, long.seen.cancelled], [413, true]);
  assertEquals(problem.message, "body: expected at most 20 bytes, found more");
  assert(long.seen.pulled <= 3, `${long.seen.pulled} pieces were taken`);
  assertEquals((await readBytes(new Request("http://here/"), 20, 60_000)).length, 0);
});

Deno.test("a body that breaks off, is late or is no UTF-8 is the client's fault", async () => {
  const broken = pieces("[1,", new Error("reset by peer"));
  const cut = await problemOf(() => readJson(request(broken.body), limits));
  assertEquals([cut.status, cut.reason, cut.message], [
    400,
    "malformed",
    "body: the connection broke before its end",
  ]);
  const silent = new ReadableStream({});
  const late = await problemOf(() => readBytes(request(silent), 20, 5));
  assertEquals([late.status, late.reason, late.headers.connection], [408, "slow_body", "close"]);
  assertEquals(late.message, "body: expected all of it within 0.005 s");
  const latin1 = request(new Uint8Array([0x22, 0xe9, 0x22]));
  assertEquals((await problemOf(() => readJson(latin1, limits))).status, 400);
});

const schema = z.strictObject({
  n: z.int().min(1).max(9).nullish(),
  word: z.string().min(1).max(3).optional(),
  either: z.union([z.int(), z.string().min(2)]).optional(),
  one: z.enum(["a", "b"]).optional(),
  inner: z.object({ list: z.array(z.number()) }).optional(),
});

async function errorsOf(input: unknown) {
  const { status, message, errors } = await problemOf(() => validate(schema, input));
  assertEquals(status, 422);
  assert(message.startsWith(`${errors![0].field}: expected ${errors![0].expected}, found`));
  return errors!.map(({ field, expected, found }) => [field, expected, found]);
}

Deno.test("of fields that do not fit, known ones first, sixteen are named", async () => {
  const unknown = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`x${i}`, i]));
  const named = async (input: unknown) => (await errorsOf(input)).map(([field]) => field);
  assertEquals(await named({ n: 0, ...unknown(15) }), ["n", ...Object.keys(unknown(15))]);
  assertEquals(await named({ n: 0, ...unknown(16) }), ["n", ...Object.keys(unknown(15))]);
  assertEquals(await named(unknown(17)), Object.keys(unknown(16)));
});

Deno.test("each field that does not fit is named, with what was expected and found", async () => {
  assertEquals(validate(schema, { n: null, word: "abc", one: undefined }), { word: "abc" });
  assertEquals(validate(schema, { n: 0 + 1, either: 0 }), { n: 1, either: 0 });
  const known = "n, word, either, one, inner";
  const cases: [unknown, unknown[][]][] = [
    [{ n: 0 }, [["n", "at least 1", 0]]],
    [{ n: 10 }, [["n", "at most 9", 10]]],
    [{ n: 1.5 }, [["n", "a whole number", 1.5]]],
    [{ n: "1" }, [["n", "a number", "1"]]],
    [{ word: "" }, [["word", "at least 1 character", ""]]],
    [{ word: "abcd" }, [["word", "at most 3 characters", "abcd"]]],
    [{ word: null }, [["word", "text", null]]],
    [{ either: true }, [["either", "a number, or text", true]]],
    [{ one: "c" }, [["one", 'one of "a", "b"', "c"]]],
    [{ inner: { list: [1, "2"] } }, [["inner.list.1", "a number", "2"]]],
    [{ inner: { list: {} } }, [["inner.list", "a list", "an object"]]],
    [[], [["body", "an object", "a list"]]],
    [null, [["body", "an object", null]]],
    [{ x: 1, y: "2" }, [
      ["x", `no such parameter, but ${known}`, 1],
      ["y", "no such parameter", "2"],
    ]],
    [{ n: 0, word: "" }, [["n", "at least 1", 0], ["word", "at least 1 character", ""]]],
  ];
  for (const [input, expected] of cases) {
    assertEquals(await errorsOf(input), expected, JSON.stringify(input));
  }
  // What has no words here has the schema's own.
  const other = z.object({ code: z.string().regex(/^x$/), at: z.date() });
  const { errors } = await problemOf(() => validate(other, { code: "y", at: 3 }));
  const told = errors!.map(({ field, expected }) => [field, expected]);
  assertEquals(told, [["code", "Invalid string: must match pattern /^x$/"], ["at", "date"]]);
  const many = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`x${i}`, i]));
  assertEquals((await errorsOf(many)).length, 16, "so many are told, and no more");
});

Deno.test("a query's parameters are texts; one that is repeated is a list, which nothing takes", () => {
  const url = new URL("http://here/?a=1&b=x%20y&c=&a=2&d=p+q");
  assertEquals(queryOf(url), { a: [], b: "x y", c: "", d: "p q" });
  assertEquals(queryOf(new URL("http://here/")), {});
});

const uploads = { maxUploadBytes: 100_000, uploadTimeoutMs: 60_000 };
const read = (init: RequestInit) => readForm(new Request("http://here/", init), uploads);

Deno.test("a form's texts are by name, its files in their order, image[] among them as image", async () => {
  const [a, b, c] = ["a", "b", "c"].map((name) => file(stripes(), `${name}.png`));
  const { fields, files } = await read(form({
    ...{ prompt: "x y", "size": "auto" },
    ...{ image: a, "image[]": [b, c], mask: a },
  }));
  assertEquals(fields, { prompt: "x y", size: "auto" });
  assertEquals(files.image.map(({ name }) => name), ["a.png", "b.png", "c.png"]);
  assertEquals(Object.keys(files), ["image", "mask"]);
  const twice = await problemOf(() => read(form({ n: ["1", "2"] as never })));
  assertEquals([twice.status, twice.errors], [422, [
    { field: "n", expected: "it once", found: "it again" },
  ]]);
});

Deno.test("a form is multipart, with its boundary; another body is not looked into", async () => {
  const text = '--x\r\ncontent-disposition: form-data; name="n"\r\n\r\n2\r\n--x--\r\n';
  const of = (type: string) =>
    read({ method: "POST", body: text, headers: { "content-type": type } });
  for (const type of ["multipart/form-data; boundary=x", "Multipart/Form-Data ;boundary=x"]) {
    assertEquals((await of(type)).fields, { n: "2" }, type);
  }
  for (const type of ["multipart/form-data", "multipart/mixed; boundary=x", "text/plain"]) {
    const { status, message } = await problemOf(() => of(type));
    const expected = `content-type: expected multipart/form-data, found ${type}`;
    assertEquals([status, message], [415, expected]);
  }
  const bare = await problemOf(() => read({ method: "POST", body: new Uint8Array(1) }));
  assertEquals(bare.message, "content-type: expected multipart/form-data, found none");
  const long = await problemOf(() => of(`text/${"x".repeat(200)}`));
  assertEquals(
    long.message,
    `content-type: expected multipart/form-data, found text/${"x".repeat(75)}…`,
  );

  const told = new Request("http://here/", form({ n: "1" }));
  told.headers.set("content-length", "100001");
  const large = await problemOf(() => readForm(told, uploads));
  assertEquals(large.message, "body: expected at most 100000 bytes, found 100001 bytes");

  const other = await problemOf(() => of("multipart/form-data; boundary=y"));
  assertEquals([other.status, other.reason, other.message], [
    400,
    "malformed",
    "body: expected multipart/form-data, found it damaged",
  ]);
});

Deno.test("a form has up to 64 parts", async () => {
  const parts = (count: number) =>
    form(Object.fromEntries(Array.from({ length: count }, (_, i) => [`f${i}`, "1"])));
  assertEquals(Object.keys((await read(parts(64))).fields).length, 64);
  const { errors } = await problemOf(() => read(parts(65)));
  assertEquals(errors, [{ field: "body", expected: "at most 64 parts", found: 65 }]);
});

Deno.test("a picture is paid for by its pixels, and one that is none is refused with the reason", async () => {
  let cost = 0;
  const charge = (more: number) => void (cost += more);
  const most = { maxPixels: 300_000 };
  const flat = (width: number, height: number) =>
    file({ pixels: new Uint8Array(width * height), width, height, channels: 1 });
  const small = await readUpload(flat(255, 256), "image", most, charge);
  assertEquals([small.width, small.height, cost], [255, 256, 0]);
  await readUpload(flat(256, 256), "image", most, charge);
  assertEquals(cost, 1);
  await readUpload(flat(512, 511), "image", most, charge);
  assertEquals(cost, 4);
  const text = new File(["hello"], "my picture.svg");
  const refused = await problemOf(() => readUpload(text, "mask", most, charge));
  assertEquals([refused.status, refused.errors], [422, [
    { field: "mask", expected: "a PNG or JPEG picture", found: "my picture.svg" },
  ]]);
  assert(refused.message.startsWith("mask: expected a PNG or JPEG picture"), refused.message);
  const large = await problemOf(() => readUpload(flat(600, 600), "image", most, charge));
  assert(/600|360000|300000/.test(large.message), `why: ${large.message}`);
  // A picture takes a while to decode: who came in the meantime goes first.
  let turns = 0;
  const bytes = await flat(256, 256).arrayBuffer();
  const quick = { name: "a.png", arrayBuffer: () => Promise.resolve(bytes) } as File;
  setTimeout(() => turns++);
  await readUpload(quick, "image", most, () => assertEquals(turns, 1));
  // What is no fault of the picture is not told as one.
  const failing = await assertRejects(
    () =>
      readUpload(new File([encodePng(stripes(256, 256))], "a.png"), "image", most, () => {
        throw new TypeError("a fault of ours");
      }),
    TypeError,
  );
  assertEquals(failing.message, "a fault of ours");
});
