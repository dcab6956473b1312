// The page's words in English and Japanese.
// @ts-check

/** @type {Record<string, Record<string, string>>} */
export const WORDS = {
  en: {
    title: "tinygrad_dl playground", preset: "Experiment", custom: "Your own", language: "Language", question: "Question:",
    controls: "Training", play: "Play", pause: "Pause", step: "One step", epoch: "One epoch", restart: "Restart", speed: "Steps per frame",
    timeline: "Time line", settings: "Settings", runs: "Runs", run: "Run {0}", compare: "Compare with a second run", alone: "Remove run B",
    data: "Data", network: "Network", training: "Training", losses: "Loss", inside: "Inside", home: "Take home",
    "f.data": "Data set", "f.examples": "Examples", "f.noise": "Noise", "f.train": "Part trained on", "f.normalize": "Normalize",
    "f.seed": "Seed", "f.initialization": "Initialization", "f.optimizer": "Optimizer", "f.rate": "Learning rate", "f.decay": "Decay per epoch",
    "f.batch_size": "Batch size", "f.output_l1": "L1, output layer", "f.output_l2": "L2, output layer", "f.units": "Units",
    "f.filters": "Filters", "f.activation": "Activation", "f.batch_norm": "Batch norm", "f.dropout": "Dropout", "f.l1": "L1", "f.l2": "L2",
    circles: "circles", moons: "moons", spirals: "spirals", flower: "planar flower", blobs: "blobs", xor: "XOR", regression: "regression curve",
    digits: "digits 8×8", points: "drawn by hand", csv: "CSV file", zeros: "zeros", large: "large", xavier: "Xavier", he: "He", sgd: "SGD", momentum: "momentum",
    adagrad: "AdaGrad", rmsprop: "RMSProp", adam: "Adam", relu: "ReLU", tanh: "tanh", sigmoid: "sigmoid", leaky_relu: "leaky ReLU", linear: "none",
    addLayer: "Add a layer", addConv: "Add a convolution", remove: "Remove layer {0}", layer: "Layer {0}: {1}, {2}", conv: "Convolution {0}: {1}, {2}",
    drawing: "Click into the plane to add a point of this class; the arrow keys move the cross, Enter adds.", class0: "class 0", class1: "class 1", clear: "Remove all points",
    train: "train", dev: "dev", loss: "loss", accuracy: "accuracy", epochs: "epoch", position: "step {0}, epoch {1}", rate: "rate",
    lossHint: "Solid: training part. Dashed: dev part. Pale: single batches.",
    insideHint: "Click a unit, or an edge, of the network to see its value, its gradient, and the sum that made it.",
    check: "Check gradients", diagnosis: "Diagnosis", rates: "Learning-rate test", surface: "Loss surface", surfaceText: "The training loss over the plane in which the weights moved most ({0} % of their movement): dark is low, and each band is lower by the same factor. The lines are the paths of {1}, from the ring to the dot.", graph: "Graph and player",
    program: "Python program", notebook: "Notebook", numpy: "One step in NumPy", weights: "Weights", link: "Copy link",
    copied: "The link is copied. It holds the settings and the step.", copyThis: "Copy this link:",
    layers: "Layers", "t.layer": "layer", "t.activations": "activations", "t.gradients": "gradients of them", "t.norm": "‖gradient of W‖", "t.ratio": "update / weight", "t.dead": "dead units",
    output: "output", input: "input", inputs: "inputs", boundary: "Decision boundary of run {0}", fit: "Fitted curve of run {0}", net: "Network of run {0}",
    unitName: "Layer {0}, unit {1}", outputName: "Output {0}", unitTitle: "Layer {0}, unit {1}, for example {2}", weightTitle: "Weight from {0} to layer {1}, unit {2}",
    sum: "sum z", out: "output a", dsum: "∂L/∂z", dout: "∂L/∂a", bias: "bias b", dbias: "∂L/∂b", value: "value w", dvalue: "∂L/∂w", penalty: "of it L1 and L2",
    unitText: "z is the sum of weight × input over {0} inputs, plus the bias. The largest terms:", weightText: "∂L/∂w is the sum of ∂L/∂z × input over the {0} examples of the next batch. The largest terms:",
    meanText: "Means over the feature map, and sums of its gradients:", source: "input", weight: "weight w", activation: "value a", times: "w × a", example: "example", product: "product",
    stop: ". ", checked: "{0} numbers were moved in both directions. Largest relative error: {1}; up to 2e-7 is right, above 1e-5 probably wrong.", passed: "The gradients are right.", failed: "The gradients disagree.", healthy: "No problem found.", tooEarly: "No problem found so far. Train for at least five epochs to hear more.",
    suggestion: "The loss falls fastest at a rate of {0}.", use: "Use this rate", open: "Open in a new tab", working: "Working …",
    lost: "The connection is lost. Connecting again …", diverged: "The loss is no longer a finite number: training has stopped. Restart with a lower learning rate.",
    csvHint: "At most 1000 rows and 140 kB; the first row names the columns. The file stays on this machine.", csvFile: "CSV file", csvText: "or pasted text",
    csvUse: "Use the text", csvTarget: "Column to predict", csvLarge: "The file is too large: expected at most 140 kB, got {0} kB.", othersAtMean: "(the other columns at their mean)",
    recorded: "This is a recording: it can be played and scrubbed. To change it and to train, start the playground: tinygrad-dl playground",
    insideRecorded: "The answers are those after the last step.", notRecorded: "This is not in the recording. In the playground it can be asked for.", next: "Next picture",
    digit: "Digit shown", chart: "Loss after step {0}: {1}", download: "Download {0}",
  },
  ja: {
    title: "tinygrad_dl プレイグラウンド", preset: "実験", custom: "自由に作る", language: "言語", question: "問い：",
    controls: "学習の操作", play: "再生", pause: "一時停止", step: "1ステップ", epoch: "1エポック", restart: "最初から", speed: "1コマのステップ数",
    timeline: "時間軸", settings: "設定", runs: "実行", run: "実行{0}", compare: "二つ目の実行と比べる", alone: "実行Bを外す",
    data: "データ", network: "ネットワーク", training: "学習", losses: "損失", inside: "内部", home: "持ち帰る",
    "f.data": "データセット", "f.examples": "例の数", "f.noise": "ノイズ", "f.train": "訓練に使う割合", "f.normalize": "正規化",
    "f.seed": "シード", "f.initialization": "初期値", "f.optimizer": "最適化", "f.rate": "学習率", "f.decay": "エポックごとの減衰",
    "f.batch_size": "バッチサイズ", "f.output_l1": "L1（出力層）", "f.output_l2": "L2（出力層）", "f.units": "ユニット",
    "f.filters": "フィルタ", "f.activation": "活性化関数", "f.batch_norm": "バッチ正規化", "f.dropout": "ドロップアウト", "f.l1": "L1", "f.l2": "L2",
    circles: "円", moons: "月", spirals: "渦巻き", flower: "平面の花", blobs: "かたまり", xor: "XOR", regression: "回帰曲線",
    digits: "数字 8×8", points: "手で描く", csv: "CSVファイル", zeros: "ゼロ", large: "大きい", xavier: "Xavier", he: "He", sgd: "SGD", momentum: "モーメンタム",
    adagrad: "AdaGrad", rmsprop: "RMSProp", adam: "Adam", relu: "ReLU", tanh: "tanh", sigmoid: "シグモイド", leaky_relu: "Leaky ReLU", linear: "なし",
    addLayer: "層を加える", addConv: "畳み込み層を加える", remove: "層{0}を削除", layer: "層{0}：{1}、{2}", conv: "畳み込み{0}：{1}、{2}",
    drawing: "平面を押すと、選んだクラスの点が加わります。矢印キーで十字を動かし、Enterで加えます。", class0: "クラス0", class1: "クラス1", clear: "点をすべて消す",
    train: "訓練", dev: "開発", loss: "損失", accuracy: "正解率", epochs: "エポック", position: "ステップ{0}、エポック{1}", rate: "学習率",
    lossHint: "実線：訓練。破線：開発。薄い線：各バッチ。",
    insideHint: "ネットワークのユニットや線を押すと、その値と勾配と、それを作った和が見えます。",
    check: "勾配を調べる", diagnosis: "診断", rates: "学習率テスト", surface: "損失曲面", surfaceText: "重みが最も大きく動いた平面（動きの{0}%）での訓練損失です。暗いほど低く、帯が一つ変わるごとに同じ倍率で下がります。線は{1}の道筋で、輪から点へ進みます。", graph: "グラフとプレーヤー",
    program: "Pythonプログラム", notebook: "ノートブック", numpy: "NumPyで書いた1ステップ", weights: "重み", link: "リンクをコピー",
    copied: "リンクをコピーしました。設定とステップが入っています。", copyThis: "このリンクをコピーしてください：",
    layers: "層", "t.layer": "層", "t.activations": "活性", "t.gradients": "活性の勾配", "t.norm": "‖Wの勾配‖", "t.ratio": "更新／重み", "t.dead": "死んだユニット",
    output: "出力", input: "入力", inputs: "入力", boundary: "実行{0}の決定境界", fit: "実行{0}の曲線", net: "実行{0}のネットワーク",
    unitName: "層{0}のユニット{1}", outputName: "出力{0}", unitTitle: "層{0}のユニット{1}（例{2}）", weightTitle: "{0}から層{1}のユニット{2}への重み",
    sum: "和 z", out: "出力 a", dsum: "∂L/∂z", dout: "∂L/∂a", bias: "バイアス b", dbias: "∂L/∂b", value: "値 w", dvalue: "∂L/∂w", penalty: "うちL1とL2",
    unitText: "zは{0}個の入力についての 重み×入力 の和にバイアスを足したものです。大きい項：", weightText: "∂L/∂wは次のバッチの{0}個の例についての ∂L/∂z×入力 の和です。大きい項：",
    meanText: "特徴マップの平均と、その勾配の和：", source: "入力", weight: "重み w", activation: "値 a", times: "w × a", example: "例", product: "積",
    stop: "。", checked: "{0}個の数を両方向に動かして比べました。最大の相対誤差は{1}です。2e-7以下なら正しく、1e-5を超えるとおそらく間違いです。", passed: "勾配は正しいです。", failed: "勾配が一致しません。", healthy: "問題は見つかりません。", tooEarly: "今のところ問題は見つかりません。5エポック以上学習すると詳しく分かります。",
    suggestion: "損失が最も速く下がる学習率は{0}です。", use: "この学習率を使う", open: "新しいタブで開く", working: "計算中 …",
    lost: "接続が切れました。つなぎ直しています …", diverged: "損失が有限の数でなくなり、学習は止まりました。学習率を下げて最初から始めてください。",
    csvHint: "最大1000行、140 kBまで。先頭の行は列の名前です。ファイルはこの計算機の外に出ません。", csvFile: "CSVファイル", csvText: "または貼り付けたテキスト",
    csvUse: "このテキストを使う", csvTarget: "予測する列", csvLarge: "ファイルが大きすぎます。140 kBまでですが、{0} kBあります。", othersAtMean: "（ほかの列は平均値）",
    recorded: "これは記録です。再生したり、時間軸をたどったりできます。設定を変えて学習するには、tinygrad-dl playground を起動してください。",
    insideRecorded: "答えは最後のステップのものです。", notRecorded: "この記録には入っていません。プレイグラウンドでは調べられます。", next: "次のコマ",
    digit: "表示する数字", chart: "ステップ{0}後の損失：{1}", download: "{0}をダウンロード",
  },
};

let language = "en";

/** @param {string} name */
export function setLanguage(name) {
  language = name in WORDS ? name : "en";
  document.documentElement.lang = language;
}

export const currentLanguage = () => language;

/**
 * A word or sentence in the page's language; {0}, {1}, ... are replaced.
 * @param {string} key
 * @param {...(string | number)} values
 */
export function word(key, ...values) {
  const text = WORDS[language][key] ?? WORDS.en[key] ?? key;
  return text.replace(/\{(\d)\}/g, (_, i) => String(values[Number(i)]));
}

/** Fill every element that names its word. */
export function translate() {
  document.title = word("title");
  for (const element of document.querySelectorAll("[data-word]"))
    element.textContent = word(/** @type {HTMLElement} */ (element).dataset.word ?? "");
  for (const element of document.querySelectorAll("[data-label]"))
    element.setAttribute("aria-label", word(/** @type {HTMLElement} */ (element).dataset.label ?? ""));
}
