// What was made lately, by what it was made of: the oldest goes when there is too much.

export class Recent<K, V> {
  #kept = new Map<K, V>(); // the oldest first

  constructor(private readonly most: number) {}

  /** What a key stands for, made if it is not here. */
  get(key: K, make: () => V): V {
    const value = this.#kept.has(key) ? this.#kept.get(key)! : make();
    this.#kept.delete(key);
    this.#kept.set(key, value);
    if (this.#kept.size > this.most) this.#kept.delete(this.#kept.keys().next().value!);
    return value;
  }
}
