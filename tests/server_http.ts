/** What the server's tests send, and how they read the answers. */

/** The address of generations. */
export const generations = "/v1/images/generations";

/** A POST of JSON; text is sent as it is. */
export function post(body: unknown, headers: Record<string, string> = {}): RequestInit {
  return {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  };
}

/** The bytes of an image in an answer. */
export function decode(b64: string): Uint8Array {
  return Uint8Array.from(atob(b64), (c) => c.charCodeAt(0));
}

/** The value of a sample in /metrics' text. */
export function metric(text: string, sample: string): number {
  const line = text.split("\n").find((line) => line.startsWith(`${sample} `));
  return line === undefined ? 0 : Number(line.slice(sample.length + 1));
}

/** The events of a finished stream. */
export function parseEvents(text: string): { event: string; data: string }[] {
  return text.split("\n\n").filter((block) => block.includes("data: ")).map((block) => ({
    event: /^event: (.*)$/m.exec(block)?.[1] ?? "message",
    data: /^data: (.*)$/m.exec(block)![1],
  }));
}
