/** A heap: what is least comes out first. */
export class Heap<T> {
  readonly #items: { readonly at: number; readonly item: T }[] = []

  get size(): number {
    return this.#items.length
  }

  get least(): number {
    return this.#items[0]?.at ?? Number.POSITIVE_INFINITY
  }

  push(at: number, item: T): void {
    const items = this.#items
    let place = items.push({ at, item }) - 1
    while (place > 0) {
      const parent = (place - 1) >> 1
      if ((items[parent]?.at ?? 0) <= at) break
      swap(items, place, parent)
      place = parent
    }
  }

  pop(): T | undefined {
    const items = this.#items
    const [top] = items
    const end = items.pop()
    if (end !== undefined && items.length > 0) {
      items[0] = end
      for (let place = 0; ;) {
        let least = place
        for (const child of [2 * place + 1, 2 * place + 2]) if ((items[child]?.at ?? Number.POSITIVE_INFINITY) < (items[least]?.at ?? 0)) least = child
        if (least === place) break
        swap(items, place, least)
        place = least
      }
    }
    return top?.item
  }
}

function swap(items: unknown[], a: number, b: number): void {
  const [one, other] = [items[a], items[b]]
  if (one === undefined || other === undefined) return
  items[a] = other
  items[b] = one
}
