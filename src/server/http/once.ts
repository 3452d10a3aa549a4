/** What is made when it is first asked for: on the edge every request has an app of its own. */
export function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
