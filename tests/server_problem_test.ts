/** How failures are told: the document, its headers, and how much of a request it repeats. */
import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { HTTPException } from "npm:hono@4.13.19/http-exception";
import { FieldError, InputError } from "../src/errors.ts";
import {
  asProblem,
  excerpt,
  found,
  invalid,
  listed,
  Problem,
  type ProblemOptions,
  refusal,
  refusing,
} from "../src/server/problem.ts";

Deno.test("a problem's document has RFC 9457's members, and the same in the words of OpenAI's clients", async () => {
  const errors = [{ field: "steps", expected: "at least 1", found: 0 }];
  const problem = new Problem(422, "invalid", "steps: no", { errors });
  assertEquals(problem.document("abc"), {
    type: "urn:denoise:problem:invalid",
    title: "A parameter does not fit",
    status: 422,
    detail: "steps: no",
    instance: "urn:request:abc",
    errors,
    error: {
      message: "steps: no",
      type: "invalid_request_error",
      param: "steps",
      code: "invalid",
    },
  });
  const failed = new Problem(500, "network", "broke").document();
  assertEquals(["instance" in failed, "errors" in failed], [false, false]);
  assertEquals(failed.error, {
    message: "broke",
    type: "server_error",
    param: null,
    code: "network",
  });
  const response = problem.response("abc");
  assertEquals([response.status, response.headers.get("content-type")], [
    422,
    "application/problem+json",
  ]);
  assertEquals(response.headers.get("cache-control"), "no-store");
  assertEquals(await response.json(), problem.document("abc"));
});

Deno.test("Retry-After is in whole seconds, at least one and never too early", () => {
  const headers = (options: ProblemOptions) =>
    new Problem(503, "overloaded", "", options).response().headers;
  for (
    const [after, told] of [[0, "1"], [0.2, "1"], [1, "1"], [1.01, "2"], [59.9, "60"]] as const
  ) {
    assertEquals(headers({ retryAfter: after }).get("retry-after"), told, String(after));
  }
  assertEquals(headers({}).get("retry-after"), null);
  const given = Object.freeze({ allow: "GET" });
  const both = headers({ headers: given, retryAfter: 1 });
  assertEquals([both.get("allow"), both.get("retry-after")], ["GET", "1"]);
});

Deno.test("of a text so much is repeated as is allowed, in whole characters", () => {
  assertEquals(excerpt("x".repeat(80)), "x".repeat(80));
  assertEquals(excerpt("x".repeat(81)), `${"x".repeat(80)}…`);
  assertEquals(excerpt("abcdef", 3), "abc…");
  assertEquals(excerpt("ab😀", 3), "ab\ufffd…", "a character that is cut");
  assertEquals(excerpt("\ud83d"), "\ufffd");
});

Deno.test("of many names the first are listed, and how many there are", () => {
  const names = (count: number) => Array.from({ length: count }, (_, i) => `n${i}`);
  assertEquals(listed(names(2)), "n0, n1");
  assertEquals(listed(names(32)), names(32).join(", "));
  assertEquals(listed(names(33)), `${names(32).join(", ")} … (33 in all)`);
  assertEquals(listed(["x".repeat(100)]), `${"x".repeat(80)}…`);
});

Deno.test("what was found is told shortly: values as they are, texts cut, the rest by its kind", () => {
  const values = [1, true, null, "short", "x".repeat(90), undefined, [1], { a: 1 }];
  const told = [1, true, null, "short", `${"x".repeat(80)}…`, null, "a list", "an object"];
  assertEquals(values.map(found), told);
  const { status, message, errors } = invalid("n", "at most 3", undefined);
  assertEquals([status, message], [422, "n: expected at most 3, found nothing"]);
  assertEquals(errors, [{ field: "n", expected: "at most 3", found: null }]);
  assertEquals(invalid("n", "one", "two").message, 'n: expected one, found "two"');
});

Deno.test("what work refuses is the client's fault, by the field's name in requests", () => {
  assertEquals(refusing(() => 3), 3);
  const field = assertThrows(
    () =>
      refusing(() => {
        throw new FieldError("options.eta", "a number", "much");
      }),
    Problem,
  ) as Problem;
  assertEquals([field.status, field.errors], [422, [
    { field: "eta", expected: "a number", found: "much" },
  ]]);
  const input = refusal(new InputError("y".repeat(600))) as Problem;
  assertEquals([input.status, input.reason, input.message.length], [422, "invalid", 501]);
  const other = new Error("a fault");
  assertStrictEquals(refusal(other), other);
});

Deno.test("of an unforeseen error strangers learn nothing, and its cause is kept for the log", () => {
  const problem = new Problem(404, "not_found", "no");
  assertStrictEquals(asProblem(problem), problem);
  const cause = new Error("/secret/path");
  const unforeseen = asProblem(cause);
  assertEquals([unforeseen.status, unforeseen.reason, unforeseen.cause], [500, "internal", cause]);
  assertEquals(JSON.stringify(unforeseen.document()).includes("secret"), false);
  const gone = asProblem(new DOMException("aborted", "AbortError"));
  assertEquals([gone.status, gone.reason, gone.message], [499, "disconnected", "the client left"]);
  const slow = asProblem(new DOMException("late", "TimeoutError"));
  assertEquals([slow.status, slow.reason], [500, "internal"]);
  const hono = asProblem(new HTTPException(413, { message: "large" }));
  assertEquals([hono.status, hono.reason, hono.message], [413, "invalid", "large"]);
  assertEquals(String(unforeseen), "Problem: an error that was not foreseen; the log has it");
});
