// What a configuration means for the page: the kind of its picture, and the names of its inputs.
// @ts-check

/**
 * A decision boundary in the plane, a fitted curve, or a digit.
 * @param {any} config
 * @returns {"plane" | "curve" | "digit"}
 */
export function kindOf(config) {
  if (config.data === "digits") return "digit";
  return config.data === "regression" || (config.data === "csv" && !config.table.labels.length) ? "curve" : "plane";
}

/**
 * The inputs as the network shows them: one for all pixels of a digit.
 * @param {any} config
 * @returns {string[]}
 */
export function inputNames(config) {
  if (config.data === "digits") return ["8×8"];
  if (config.data === "csv") return config.table.columns;
  return config.data === "regression" ? ["x"] : ["x1", "x2"];
}

const MARKS = ["●", "■", "▲", "◆"];

/**
 * What the axes and the marks of a file's picture are.
 * @param {any} config
 * @param {string} others what is said of the columns that are not drawn
 */
export function legend(config, others) {
  if (config.data !== "csv") return "";
  const { columns, labels } = config.table, shown = labels.length ? 2 : 1;
  const axes = columns.slice(0, shown).map((/** @type {string} */ name, /** @type {number} */ i) => `${"→↑"[i]} ${name}`);
  const marks = labels.map((/** @type {string} */ label, /** @type {number} */ i) => `${MARKS[i % MARKS.length]} ${label}`);
  return [...axes, ...marks, ...(columns.length > shown ? [others] : [])].join("  ");
}
