"""The courses' experiments by name: what to train, what to watch, and a question, in English and Japanese."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinygrad_dl.playground.state import Config, Layer


@dataclass(frozen=True)
class Preset:
    """A named experiment: one run, or two that differ in one thing, with its texts by language."""

    name: str
    runs: tuple[Config, ...]
    steps: int  # after which the effect can be seen
    texts: dict[str, tuple[str, str, str]]  # language -> title, what to watch, question

    def as_json(self) -> dict[str, Any]:
        """The preset as the page reads it."""
        words = {
            language: {"title": title, "watch": watch, "question": question}
            for language, (title, watch, question) in self.texts.items()
        }
        return {
            "name": self.name,
            "runs": [run.as_json() for run in self.runs],
            "steps": self.steps,
            "texts": words,
        }


def _dense(*units: int, **options: Any) -> tuple[Layer, ...]:
    return tuple(Layer(units=n, **options) for n in units)


PRESETS: tuple[Preset, ...] = (
    Preset(
        "zeros",
        (
            Config(data="circles", noise=0.05, layers=_dense(4), initialization="zeros"),
            Config(data="circles", noise=0.05, layers=_dense(4), initialization="xavier"),
        ),
        1000,
        {
            "en": (
                "Zeros never break symmetry",
                "Run A starts with every weight at zero, run B with Xavier's random weights. "
                "In A all units of a layer compute the same, and their gradients are the same, so they stay copies.",
                "Which of A's parameters change at all, and why only those?",
            ),
            "ja": (
                "ゼロでは対称性が破れない",
                "実行Aはすべての重みをゼロから、BはXavierの乱数から始めます。"
                "Aでは同じ層のユニットがどれも同じ値と同じ勾配を持つので、いつまでも互いの写しのままです。",
                "Aで変化するパラメータはどれでしょうか。なぜそれだけなのでしょうか。",
            ),
        },
    ),
    Preset(
        "vanishing",
        (
            Config(
                data="moons", layers=_dense(8, 8, 8, 8, 8, 8, activation="sigmoid"), optimizer="sgd", rate=0.1
            ),
            Config(
                data="moons",
                layers=_dense(8, 8, 8, 8, 8, 8, activation="relu"),
                initialization="he",
                optimizer="sgd",
                rate=0.1,
            ),
        ),
        1000,
        {
            "en": (
                "Vanishing gradients in a deep sigmoid net",
                "Both runs have six hidden layers, A with sigmoid and B with ReLU and He's initialization. "
                "Compare the norms of the gradients in the table of layers, from the first layer to the last.",
                "By what factor does the gradient shrink per sigmoid layer, and how does sigmoid'(z) ≤ 1/4 explain it?",
            ),
            "ja": (
                "深いシグモイド網の勾配消失",
                "どちらも隠れ層は六つで、Aはシグモイド、BはReLUとHeの初期値です。"
                "層の表で、勾配のノルムを最初の層から最後の層まで比べてください。",
                "シグモイドの層を一つ通るごとに勾配は何分の一になりますか。sigmoid'(z) ≤ 1/4 からどう説明できますか。",
            ),
        },
    ),
    Preset(
        "dropout",
        (
            Config(
                data="moons",
                examples=200,
                noise=0.4,
                train=0.15,
                layers=_dense(32, 32, activation="relu"),
                initialization="he",
                rate=0.01,
                batch_size=30,
            ),
            Config(
                data="moons",
                examples=200,
                noise=0.4,
                train=0.15,
                layers=_dense(32, 32, activation="relu", dropout=0.5),
                initialization="he",
                rate=0.01,
                batch_size=30,
            ),
        ),
        300,
        {
            "en": (
                "Dropout on few examples",
                "A large network sees only 30 examples: A without dropout, B with half of the units dropped. "
                "Watch the gap between the training loss and the dev loss, and how smooth the boundary is.",
                "Why is B's training loss higher although its dev loss is lower?",
            ),
            "ja": (
                "少ない例とドロップアウト",
                "大きな網が30個の例だけを見ます。Aはドロップアウトなし、Bはユニットの半分を落とします。"
                "訓練損失と開発損失の差と、境界の滑らかさを見てください。",
                "Bの開発損失は低いのに、訓練損失が高いのはなぜでしょうか。",
            ),
        },
    ),
    Preset(
        "mini-batches",
        (
            Config(data="moons", layers=_dense(6), optimizer="sgd", rate=0.3, batch_size=4),
            Config(data="moons", layers=_dense(6), optimizer="sgd", rate=0.3, batch_size=1000),
        ),
        1000,
        {
            "en": (
                "Mini-batch noise",
                "A takes steps on 4 examples, B on all of them, at the same learning rate. "
                "The pale line is the loss of each batch: it jumps in A and falls smoothly in B.",
                "How many examples has each run seen after 100 steps, and which is ahead per example?",
            ),
            "ja": (
                "ミニバッチのゆらぎ",
                "学習率は同じで、Aは4個の例ごとに、Bは全部の例を使って一歩進みます。"
                "薄い線は各バッチの損失です。Aでは跳ね、Bでは滑らかに下がります。",
                "100ステップ後にそれぞれが見た例は何個ですか。例の数あたりではどちらが先に進んでいますか。",
            ),
        },
    ),
    Preset(
        "momentum",
        (
            Config(
                data="regression",
                normalize=False,
                layers=_dense(8),
                optimizer="sgd",
                rate=0.03,
                batch_size=1000,
            ),
            Config(
                data="regression",
                normalize=False,
                layers=_dense(8),
                optimizer="momentum",
                rate=0.03,
                batch_size=1000,
            ),
        ),
        1000,
        {
            "en": (
                "Momentum in a ravine",
                "The loss is a ravine, steep in some directions and nearly flat in others. A takes plain gradient "
                "steps, B adds momentum 0.9 at the same rate, so that steps along the flat direction add up. "
                "“Loss surface” under “Inside” draws both paths.",
                "By which factor are B's steps longer where the gradient hardly changes?",
            ),
            "ja": (
                "谷の中のモーメンタム",
                "損失は、ある方向には急で別の方向にはほとんど平らな谷です。Aはただの勾配降下、"
                "Bは同じ学習率にモーメンタム0.9を加えるので、平らな方向の歩みが積み重なります。"
                "「内部」の「損失曲面」で二つの道筋が見えます。",
                "勾配がほとんど変わらない所では、Bの一歩は何倍になりますか。",
            ),
        },
    ),
    Preset(
        "batch-norm",
        (
            Config(
                data="circles",
                layers=_dense(8, 8, 8, activation="relu"),
                initialization="large",
                rate=0.01,
                batch_size=25,
            ),
            Config(
                data="circles",
                layers=_dense(8, 8, 8, activation="relu", batch_norm=True),
                initialization="large",
                rate=0.01,
                batch_size=25,
            ),
        ),
        400,
        {
            "en": (
                "Batch norm on and off",
                "Both runs start from weights that are far too large; B normalizes each layer's sums over the batch. "
                "Look at the histograms of the activations, and at the first losses of both.",
                "Why does the scale of the weights hardly matter to B?",
            ),
            "ja": (
                "バッチ正規化の有無",
                "どちらも大きすぎる重みから始め、Bだけが各層の和をバッチで正規化します。"
                "活性のヒストグラムと、最初の損失を比べてください。",
                "Bにとって重みの大きさがほとんど問題にならないのはなぜでしょうか。",
            ),
        },
    ),
    Preset(
        "gradient-checking",
        (Config(data="xor", examples=100, layers=_dense(3), batch_size=20),),
        100,
        {
            "en": (
                "Gradient checking",
                "Press “Check gradients” under “Inside”: each parameter is moved by a little in both directions, and "
                "the change of the loss is compared with its gradient. Click a weight to see the sum that made it.",
                "Why are two evaluations, one on each side, so much more exact than one?",
            ),
            "ja": (
                "勾配チェック",
                "「内部」の「勾配を調べる」を押すと、各パラメータを両方向に少しずつ動かし、損失の変化を勾配と比べます。"
                "重みを押すと、その勾配を作った和が見えます。",
                "片側だけより、両側で一回ずつ評価するほうがずっと正確なのはなぜでしょうか。",
            ),
        },
    ),
    Preset(
        "flower",
        (
            Config(
                data="flower", examples=400, noise=0.2, train=0.8, layers=_dense(8), rate=0.05, batch_size=40
            ),
        ),
        1000,
        {
            "en": (
                "The planar flower",
                "One hidden layer bends the boundary around the petals of a flower of two classes. "
                "Each small picture is what one hidden unit sees: the boundary is a weighted sum of them.",
                "How many hidden units does the flower need? Remove some and try.",
            ),
            "ja": (
                "平面の花",
                "隠れ層一つが、二つのクラスの花びらに沿って境界を曲げます。"
                "小さな絵は各隠れユニットが見ているもので、境界はその重み付きの和です。",
                "花には隠れユニットがいくつ必要でしょうか。減らして試してください。",
            ),
        },
    ),
    Preset(
        "digits",
        (
            Config(
                data="digits",
                examples=600,
                noise=0.0,
                train=0.8,
                normalize=True,
                layers=(
                    Layer(kind="conv", units=6, activation="relu"),
                    Layer(units=16, activation="relu"),
                ),
                initialization="he",
                rate=0.01,
                batch_size=32,
            ),
        ),
        300,
        {
            "en": (
                "Digits with a small CNN",
                "A convolution with six windows reads 8×8 scans of digits. "
                "The small pictures are its feature maps for one digit: edges and strokes. An output's picture shows "
                "which pixels speak for its digit, orange, and which against it, blue.",
                "Replace the convolution by a dense layer of 6 units. What is lost?",
            ),
            "ja": (
                "小さなCNNで数字を読む",
                "六つの窓を持つ畳み込み層が8×8の数字を読みます。"
                "小さな絵は一つの数字に対する特徴マップで、縁や線に反応しています。"
                "出力の絵は、どの画素がその数字らしさを増やし（橙）、減らすか（青）を示します。",
                "畳み込みを6ユニットの全結合層に替えると、何が失われるでしょうか。",
            ),
        },
    ),
)
