/**
 * What the tests use of `@std/assert`, over `node:assert`, for machines that cannot reach jsr.
 * To use the real one, map `@std/assert` to `jsr:@std/assert@1` in deno.json.
 */
import nodeAssert from "node:assert";
import { inspect, isDeepStrictEqual } from "node:util";

export function assert(condition: unknown, message = "assertion failed"): asserts condition {
  nodeAssert.ok(condition, message);
}

export function assertEquals<T>(actual: T, expected: T, message?: string): void {
  if (isDeepStrictEqual(actual, expected)) return;
  // What differs is searched line by line, which takes minutes for a picture's numbers.
  if (isSmall(actual) && isSmall(expected)) {
    nodeAssert.deepStrictEqual(actual, expected, message as string);
  }
  const [found, wanted] = [actual, expected].map((value) =>
    inspect(value, { maxArrayLength: 20, maxStringLength: 1000 })
  );
  nodeAssert.fail(`${message === undefined ? "" : `${message}: `}${found} is not ${wanted}`);
}

/** Whether a value has few parts, and no long text. */
function isSmall(value: unknown, left = { parts: 500 }): boolean {
  if (typeof value === "string") left.parts -= value.length / 80;
  if (ArrayBuffer.isView(value)) left.parts -= value.byteLength;
  else if (typeof value === "object" && value !== null) {
    const parts = value instanceof Map || value instanceof Set ? [...value] : Object.values(value);
    left.parts -= parts.length;
    return left.parts >= 0 && parts.every((part) => isSmall(part, left));
  }
  return left.parts >= 0;
}

export function assertNotEquals<T>(actual: T, expected: T, message?: string): void {
  nodeAssert.notDeepStrictEqual(actual, expected, message as string);
}

export function assertStrictEquals<T>(actual: T, expected: T, message?: string): void {
  nodeAssert.strictEqual(actual, expected, message as string);
}

export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance = 1e-7,
  message?: string,
): void {
  const difference = Math.abs(actual - expected);
  nodeAssert.ok(
    difference <= tolerance,
    message ?? `${actual} and ${expected} differ by ${difference}, more than ${tolerance}`,
  );
}

export function assertStringIncludes(actual: string, expected: string, message?: string): void {
  nodeAssert.ok(actual.includes(expected), message ?? `"${actual}" does not include "${expected}"`);
}

export function assertMatch(actual: string, expected: RegExp, message?: string): void {
  nodeAssert.match(actual, expected, message as string);
}

// deno-lint-ignore no-explicit-any
type ErrorClass<E extends Error> = new (...args: any[]) => E;

function checkError<E extends Error>(
  error: unknown,
  ErrorType?: ErrorClass<E>,
  messageIncludes?: string,
): E {
  nodeAssert.ok(error instanceof Error, `expected an Error, found ${String(error)}`);
  if (ErrorType) {
    nodeAssert.ok(
      error instanceof ErrorType,
      `expected ${ErrorType.name}, found ${error.name}: ${error.message}`,
    );
  }
  if (messageIncludes) assertStringIncludes(error.message, messageIncludes);
  return error as E;
}

export function assertThrows<E extends Error = Error>(
  run: () => unknown,
  ErrorType?: ErrorClass<E>,
  messageIncludes?: string,
): E {
  try {
    run();
  } catch (error) {
    return checkError(error, ErrorType, messageIncludes);
  }
  nodeAssert.fail("expected the function to throw");
}

export async function assertRejects<E extends Error = Error>(
  run: () => PromiseLike<unknown>,
  ErrorType?: ErrorClass<E>,
  messageIncludes?: string,
): Promise<E> {
  try {
    await run();
  } catch (error) {
    return checkError(error, ErrorType, messageIncludes);
  }
  nodeAssert.fail("expected the promise to reject");
}
