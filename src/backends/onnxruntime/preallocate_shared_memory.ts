/** Allocates WebAssembly's shared memory at its full size, since growing it breaks threads. */

/**
 * Makes every shared `WebAssembly.Memory` of this thread as large as it may ever become. In Deno a
 * thread can reach for memory that another one has just grown before V8 has told it of the new size.
 * It then dies of "memory access out of bounds", and the run that counts on it never ends: on a busy
 * machine most first runs of a large graph on two threads did so. Pages that nobody touches cost
 * address space only; where even that is refused, half of it is asked for, and so on.
 */
export function neverGrowSharedMemory(): void {
  WebAssembly.Memory = new Proxy(WebAssembly.Memory, {
    construct(Memory, [descriptor]: [WebAssembly.MemoryDescriptor]) {
      const { initial, maximum = initial, shared } = descriptor;
      if (!shared) return new Memory(descriptor);
      // One page less than all: emscripten keeps the size in 32 bits, where 4 GiB is 0.
      for (let pages = maximum - 1; pages > initial; pages = Math.floor(pages / 2)) {
        try {
          return new Memory({ initial: pages, maximum, shared });
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
        }
      }
      return new Memory(descriptor);
    },
  });
}
