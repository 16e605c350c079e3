/** Answers are taken in the order in which they were asked for. */

/** A function that asks and hands the answer to `take`; one that comes after the answer to a later question is dropped. */
export function inOrder(ask, take) {
  let asked = 0;
  let taken = 0;
  return async () => {
    const mine = ++asked;
    const answer = await ask();
    if (mine < taken) return;
    taken = mine;
    take(answer);
  };
}
