/** What JSON.parse does not tell: a key that is there twice. */

/**
 * The first key that an object of a valid JSON text has twice, or undefined. JSON.parse keeps the
 * last one, so that two readers of one file may see different things.
 */
export function repeatedKey(json: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  const tokens = /["{}[\]]/g;
  for (let match = tokens.exec(json); match; match = tokens.exec(json)) {
    if (match[0] === '"') tokens.lastIndex = endOfString(json, match.index);
    const token = json.slice(match.index, tokens.lastIndex);
    if (token === "{") open.push(new Set());
    else if (token === "[") open.push(undefined);
    else if (token === "}" || token === "]") open.pop();
    else if (isKey(json, tokens.lastIndex)) {
      const key: string = JSON.parse(token);
      const keys = open.at(-1);
      if (keys?.has(key)) return key;
      keys?.add(key);
    }
  }
}

/** Where the string that begins there has ended; by a pattern a long one would exhaust the stack. */
function endOfString(json: string, start: number): number {
  let at = start + 1;
  while (json[at] !== '"') at += json[at] === "\\" ? 2 : 1;
  return at + 1;
}

/** Whether the next sign that is no white space is a colon. */
function isKey(json: string, at: number): boolean {
  while (" \t\n\r".includes(json[at] ?? ":")) at++;
  return json[at] === ":";
}
