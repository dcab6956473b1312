// Sentences of the library, which are in English, in Japanese: diagnosis, errors, what a file's columns become.
// @ts-check
import { currentLanguage } from "./words.js";

/** Whole texts, and patterns whose parts are put in place of $1, $2, ... @type {[RegExp, string][]} */
const SENTENCES = [
  // The diagnosis
  [/^high variance \(overfitting\)$/, "高バリアンス（過学習）"],
  [/^high bias \(underfitting\)$/, "高バイアス（学習不足）"],
  [/^learning rate too high$/, "学習率が高すぎる"],
  [/^learning rate too low, or training too short$/, "学習率が低すぎるか、学習が短すぎる"],
  [/^vanishing gradients$/, "勾配消失"],
  [/^exploding gradients$/, "勾配爆発"],
  [/^dead units$/, "死んだユニット"],
  [/^updates too small$/, "更新が小さすぎる"],
  [/^updates too large$/, "更新が大きすぎる"],
  [/^the dev loss was best in epoch (\S+) \((\S+)\) and rose to (\S+), while the training loss kept falling, to (\S+)$/, "開発損失はエポック$1で最小（$2）になり、その後$3まで上がったが、訓練損失は$4まで下がり続けた"],
  [/^the accuracy is (\S+) on the training part and (\S+) on the dev part$/, "正解率は訓練データで$1、開発データで$2"],
  [/^the loss is (\S+) on the training part and (\S+) on the dev part$/, "損失は訓練データで$1、開発データで$2"],
  [/^the loss became (\S+) in epoch (\S+)$/, "エポック$2で損失が$1になった"],
  [/^the training loss rose by more than a tenth in (\S+) of (\S+) epochs; it was (\S+) at first and is (\S+)$/, "$2エポックのうち$1回、訓練損失が1割以上増えた。最初は$3、今は$4"],
  [/^the training loss is still falling steadily: (\S+) % of its total decrease came in the last (\S+) of (\S+) epochs$/, "訓練損失はまだ着実に下がっている。下がった分の$1%が、$3エポックのうち最後の$2エポックで生じた"],
  [/^the gradient's norm is (\S+) in layer (\S+) weight and (\S+) in layer (\S+) weight \(medians\)$/, "勾配のノルムは層$2の重みで$1、層$4の重みで$3（中央値）"],
  [/^(\S+) % of the units of layer (\S+) were 0 for the whole batch at the end$/, "層$2のユニットの$1%が、最後にはバッチ全体で0だった"],
  [/^a step changes (.+) by (\S+) of its norm; about 0\.001 is usual$/, "1ステップで$1がノルムの$2倍だけ変わる。ふつうは0.001ほど"],
  [/^Try early stopping, more data or augmentation, dropout, weight decay, a smaller model\.$/, "早期終了、データの追加や拡張、ドロップアウト、重み減衰、小さいモデルを試してください。"],
  [/^Try more data or augmentation, dropout, weight decay, a smaller model\.$/, "データの追加や拡張、ドロップアウト、重み減衰、小さいモデルを試してください。"],
  [/^Try more data, weight decay, a smaller model\.$/, "データの追加、重み減衰、小さいモデルを試してください。"],
  [/^Try a larger model, longer training, a better learning rate, less regularization\.$/, "大きいモデル、長い学習、よりよい学習率、弱い正則化を試してください。"],
  [/^Try a tenth of the learning rate(?: \((\S+)\))?, clipping, or look for nan in the data\.$/, "学習率（$1）を10分の1にするか、勾配をクリッピングするか、データにnanがないか調べてください。"],
  [/^Try a third or a tenth of the learning rate(?: \((\S+)\))?, or larger batches\.$/, "学習率（$1）を3分の1か10分の1にするか、バッチを大きくしてください。"],
  [/^Try three times the learning rate(?: \((\S+)\))?, or more epochs\.$/, "学習率（$1）を3倍にするか、エポックを増やしてください。"],
  [/^Try ReLU in place of sigmoid or tanh, He initialization, batch normalization, residual connections\.$/, "シグモイドやtanhの代わりにReLU、Heの初期値、バッチ正規化、残差接続を試してください。"],
  [/^Try gradient clipping, smaller initial weights, batch normalization, a lower learning rate\.$/, "勾配クリッピング、小さい初期値、バッチ正規化、低い学習率を試してください。"],
  [/^Try a lower learning rate, He initialization, batch normalization, or LeakyReLU\.$/, "低い学習率、Heの初期値、バッチ正規化、Leaky ReLUを試してください。"],
  [/^Try a higher learning rate\.$/, "学習率を上げてください。"],
  [/^Try a lower learning rate\.$/, "学習率を下げてください。"],
  // What a column becomes
  [/^target, one of (\d+) classes$/, "予測する列、$1クラス"],
  [/^target, a number, standardized$/, "予測する列、標準化した数"],
  [/^number$/, "数"],
  [/^number, (\d+) gaps? filled with the median$/, "数、欠けた$1個は中央値で埋めた"],
  [/^category of (\d+) levels?, one-hot.*$/, "カテゴリ（$1水準）、水準ごとの列"],
  [/^left out: it is constant$/, "使わない：値が一定"],
  [/^left out: it numbers the rows$/, "使わない：行の番号"],
  [/^left out: it has no values$/, "使わない：値がない"],
  [/^date, as .*$/, "日付、使わない"],
  // Errors
  [/^the training process ended unexpectedly: the page connects again$/, "学習のプロセスが予期せず終わりました。つなぎ直します"],
  [/^expected at most (\d+) tabs, got one more: close one of them$/, "開けるタブは$1個までです。どれかを閉じてください"],
  [/^(.+?): expected (?:a|an) (?:number|integer) from (\S+) to (\S+), got (.+)$/s, "$1：$2から$3までの数にしてください（今は$4）"],
  [/^(.+?): expected at least (\d+) with batch normalization, got (.+)$/, "$1：バッチ正規化には$2以上が必要です（今は$3）"],
  [/^(.+?): expected at least (\d+) (?:points|rows), got (.+)$/, "$1：少なくとも$2個必要です（今は$3個）"],
  [/^(.+?): expected at most (\d+) rows, got (.+)$/, "$1：行は最大$2行です（今は$3行）"],
  [/^(.+?): expected at most (\d+) columns, got more$/, "$1：列は最大$2列です"],
  [/^(.+?): expected 1 to (\d+) columns of numbers, got (.+)$/, "$1：数の列は1から$2列までです（今は$3列）"],
  [/^csv: (.+?): expected 2 to (\d+) classes, or a number, got (.+)$/, "csv：$1：2から$2クラスまで、または数が必要です（今は$3クラス）"],
  [/^csv: (?:No columns to parse.*|frame: expected at least one row.*)$/, "csv：列名の行と、少なくとも1行のデータが必要です"],
  [/^csv: target: (.+?): expected numbers or a few classes, got (\d+) different values.*$/, "csv：予測する列$1には数か少数のクラスが必要ですが、異なる値が$2個あります"],
  [/^csv: (.+?): expected numbers, dates or at most (\d+) levels, got (\d+) different texts.*$/, "csv：列$1には数、日付、または最大$2水準が必要ですが、異なるテキストが$3個あります。この列を除いてください"],
  [/^(.+?): expected (.+), got (.+)$/s, "$1：正しくない値です（期待：$2、実際：$3）"],
];

/**
 * A text of the library in the page's language; in English where no translation is known.
 * @param {string} text
 */
export function translated(text) {
  if (currentLanguage() !== "ja") return text;
  const found = SENTENCES.find(([pattern]) => pattern.test(text));
  if (!found) return text;
  const [pattern, sentence] = found, without = text.match(pattern)?.[1] === undefined;
  return text.replace(pattern, without ? sentence.replace("（$1）", "") : sentence).replace(/layer (\d+) weight/g, "層$1の重み");
}
