/**
 * Classic BPF, written from its last instruction to its first.
 *
 * All jumps go forward, so whoever writes backwards knows every target already. A place is the count of instructions written
 * before it: places stay valid whatever is put in front of them.
 * @see linux/filter.h, struct sock_filter; Documentation/userspace-api/seccomp_filter.rst
 */
import { CodedError } from "#base/errors.ts";

/** Codes of the instructions used; each has an immediate K, and jumps two offsets of 8 bits. */
const code = { load: 0x20, and: 0x54, jump: 0x05, equal: 0x15, above: 0x25, atLeast: 0x35, give: 0x06 } as const;

/** How the accumulator is compared with an immediate value; both unsigned. */
export type Comparison = "equal" | "above" | "atLeast";

/** A place in the program. */
export type Place = number;

const offsetLimit = 255;
/** KERNEL: BPF_MAXINSNS. */
const instructionLimit = 4096;

/** Writes one program. */
export class BackwardWriter {
  /** The two words of each instruction: code, jt and jf in the one, K in the other. */
  readonly #heads: number[] = [];
  readonly #values: number[] = [];
  readonly #answers = new Map<number, Place>();

  /** A place where the filter ends with `value`. */
  give(value: number): Place {
    const known = this.#answers.get(value);
    if (known !== undefined && this.#isNear(known)) return known;
    const place = this.#put(code.give, value);
    this.#answers.set(value, place);
    return place;
  }

  /** Loads the word at `offset` of struct seccomp_data, then goes on with `next`. */
  load(offset: number, next: Place): Place {
    this.#follow(next);
    return this.#put(code.load, offset);
  }

  /** Masks the accumulator, then goes on with `next`. */
  and(mask: number, next: Place): Place {
    this.#follow(next);
    return this.#put(code.and, mask);
  }

  /** Goes on with `met` or `unmet`. */
  branch(comparison: Comparison, value: number, { met, unmet }: { readonly met: Place; readonly unmet: Place }): Place {
    // The second may move the first away by one instruction, which "near" allows for.
    const nearUnmet = this.#bringNear(unmet);
    const nearMet = this.#bringNear(met);
    const end = this.#heads.length;
    return this.#put(code[comparison] | ((end - nearMet) << 16) | ((end - nearUnmet) << 24), value);
  }

  /** The bytes of the program that starts at `start`, which was written last. @throws CodedError `unsupported` when it is too long */
  take(start: Place): Uint8Array {
    this.#follow(start);
    const heads = this.#heads;
    const values = this.#values;
    const count = heads.length;
    if (count > instructionLimit) {
      throw new CodedError(
        "unsupported",
        `cannot honour /linux/seccomp: the filter has ${count} instructions, and the kernel takes ${instructionLimit}`,
      );
    }
    // As everywhere in programs, little endian, which all machines are that the executor is built for.
    const words = new Uint32Array(count * 2);
    for (let index = 0; index < count; index++) {
      words[index * 2] = heads[count - 1 - index] ?? 0;
      words[index * 2 + 1] = values[count - 1 - index] ?? 0;
    }
    return Buffer.from(words.buffer);
  }

  #put(head: number, value: number): Place {
    this.#values.push(value);
    return this.#heads.push(head);
  }

  /** Makes `place` the one that follows. */
  #follow(place: Place): void {
    const count = this.#heads.length;
    if (place !== count) this.#put(code.jump, count - place);
  }

  /** Whether a conditional jump that is written next, or after one more instruction, reaches `place`. */
  #isNear(place: Place): boolean {
    return this.#heads.length - place < offsetLimit;
  }

  /** A place that a conditional jump reaches and that leads to `place`: it itself, another end like it, or a long jump. */
  #bringNear(place: Place): Place {
    if (this.#isNear(place)) return place;
    if (this.#heads[place - 1] === code.give) return this.give(this.#values[place - 1] ?? 0);
    return this.#put(code.jump, this.#heads.length - place);
  }
}
