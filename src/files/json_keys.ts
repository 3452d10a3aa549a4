/** What JSON.parse does not tell: a key that is there twice. */

/**
 * The first key that an object of a valid JSON text has twice, or undefined. JSON.parse keeps the
 * last one, so that two readers of one file may see different things.
 */
export function repeatedKey(json: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  const tokens = /"(?:[^"\\]|\\.)*"|[{}[\]]/gs;
  for (let match = tokens.exec(json); match; match = tokens.exec(json)) {
    const token = match[0];
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

/** Whether the next sign that is no white space is a colon. */
function isKey(json: string, at: number): boolean {
  while (" \t\n\r".includes(json[at] ?? ":")) at++;
  return json[at] === ":";
}
