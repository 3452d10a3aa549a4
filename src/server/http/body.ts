/** Reads a JSON body from a stranger: its type, its size and its time are bounded. */
import type { Limits } from "../work/limits.ts";
import { excerpt, Problem } from "../problem.ts";

/** @throws Problem 415, 413, 408 or 400 */
export async function readJson(
  request: Request,
  { maxBodyBytes, bodyTimeoutMs }: Pick<Limits, "maxBodyBytes" | "bodyTimeoutMs">,
): Promise<unknown> {
  const type = request.headers.get("content-type");
  if (!/^application\/(json|[\w.-]+\+json)\s*(;|$)/i.test(type ?? "")) {
    throw new Problem(
      415,
      "media_type",
      `content-type: expected application/json, found ${excerpt(type ?? "none")}`,
    );
  }
  requireLength(request, maxBodyBytes);
  const bytes = await readBytes(request, maxBodyBytes, bodyTimeoutMs);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new Problem(
      400,
      "malformed",
      `body: expected JSON in UTF-8; ${excerpt((error as Error).message, 200)}`,
    );
  }
}

/** @throws Problem 415 for a body that is compressed, 413 for one that says it is longer than `most` bytes */
export function requireLength(request: Request, most: number): void {
  const encoding = request.headers.get("content-encoding") ?? "identity";
  if (encoding.toLowerCase() !== "identity") {
    const found = excerpt(encoding);
    throw new Problem(415, "media_type", `content-encoding: expected none, found ${found}`);
  }
  const declared = Number(request.headers.get("content-length") ?? 0);
  if (declared > most) throw tooLarge(most, `${declared} bytes`);
}

/** Content-Length may lie or be absent: the bytes are counted as they come. */
export async function readBytes(request: Request, maxBytes: number, timeoutMs: number) {
  const reader = request.body?.getReader();
  if (!reader) return new Uint8Array();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() =>
      reject(
        new Problem(408, "slow_body", `body: expected all of it within ${timeoutMs / 1000} s`, {
          headers: { connection: "close" },
        }),
      ), timeoutMs);
  });
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), late]);
      if (done) break;
      length += value.length;
      if (length > maxBytes) throw tooLarge(maxBytes, "more");
      chunks.push(value);
    }
  } catch (error) {
    reader.cancel().catch(() => {});
    throw error instanceof Problem
      ? error
      : new Problem(400, "malformed", "body: the connection broke before its end");
  } finally {
    clearTimeout(timer);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

function tooLarge(maxBytes: number, found: string): Problem {
  return new Problem(413, "too_large", `body: expected at most ${maxBytes} bytes, found ${found}`, {
    headers: { connection: "close" },
  });
}
