"""The words of the page *Coming from ...* in Japanese; docs/coming_from.py makes the page."""

HEAD = """\
# PyTorch、Keras、NumPy、scikit-learn から来た人へ

`nn` と `optim` のクラス名、引数、重みの形状、state dict のキーは PyTorch と同じです。\
テンソルは NumPy と Python の配列 API 標準に従い、`axis=`、`reshape`、`astype`、`concat` を使います。\
異なるものを次の表にまとめました。`x` はテンソル、`tg` は `tinygrad_dl`、`F` は `tinygrad_dl.nn.functional` です。\
表にないものは同じ名前です。

表を覚える必要はありません。存在しない名前を使うと、エラーメッセージがこの表から正しい名前を教えます。

{example}
名前は同じでも動作が違うものは[つまずきやすい点](sharp-bits.md)で説明します。

PyTorch のプログラムは `import tinygrad_dl.torch as torch` でそのまま動きます。詳しくは\
[PyTorch のプログラムを動かす](howto/pytorch-programs.md)を見てください。
"""

# Headings and remarks of tinygrad_dl/vocabulary.py -> their translation.
TEXTS = {
    "here": "tinygrad_dl",
    "nothing": "なし",
    "the same": "同じ",
    "Creating Tensors": "テンソルの作成",
    "copies arrays": "配列をコピーする",
    "shares the memory of the array": "配列とメモリを共有する",
    "integers stay int64": "整数は int64 のまま",
    "the shape is one argument": "形状は一つの引数で渡す",
    "also in tg.random; rng= is a generator": "tg.random にもある。rng= は乱数生成器",
    "creation functions have no requires_grad=": "作成関数に requires_grad= はない",
    "Shapes": "形状",
    "`x.size` is the number of elements, as in NumPy": "`x.size` は NumPy と同じく要素数",
    "an attribute, not a method": "メソッドではなく属性",
    "or x[None]": "または x[None]",
    "or tg.permute_dims(x, (2, 0, 1))": "または tg.permute_dims(x, (2, 0, 1))",
    "`x.transpose` permutes all axes, as in NumPy": "`x.transpose` は NumPy と同じく全部の軸を並べ替える",
    "Tensors are values: an assignment gives the name a new one": "テンソルは値であり、代入すると名前は新しい値を指す",
    "`x.flatten()` takes no axis; nn.Flatten does": "`x.flatten()` は軸を取らない。nn.Flatten は取る",
    "-1 is not taken": "-1 は使えない",
    "`x.repeat` repeats elements, as in NumPy": "`x.repeat` は NumPy と同じく要素を繰り返す",
    "or axis=1": "または axis=1",
    "equal parts, or the indices of the cuts": "等分する数、または分割位置のインデックス",
    "not needed: operations take any memory layout": "不要。演算はどのメモリ配置でも受け取る",
    "Elements": "要素",
    "the indices; take_along_axis gives the values": "インデックスが得られる。値は take_along_axis で得る",
    "values only; x.argmax(axis=1) has the indices": "値だけを返す。インデックスは x.argmax(axis=1)",
    "or x.min": "または x.min",
    "values only; tg.argsort(x) has the indices": "値だけを返す。インデックスは tg.argsort(x)",
    "`x.nonzero()` is a tuple of index arrays, as in NumPy": "`x.nonzero()` は NumPy と同じくインデックス配列のタプル",
    "also tg.cumulative_sum": "tg.cumulative_sum も同じ",
    "the default divides by n, as in NumPy; so does x.var": "既定では NumPy と同じく n で割る。x.var も同様",
    "not every function is a method": "メソッドでない関数もある",
    "Products": "積",
    "or x + a / b": "または x + a / b",
    "or tg.linalg.pinv": "または tg.linalg.pinv",
    "Arguments of functions": "関数の引数",
    "in functions of Tensors; nn and nn.functional take dim, as in PyTorch": (
        "テンソルの関数の場合。nn と nn.functional は PyTorch と同じく dim を取る"
    ),
    "a np.random.Generator or a seed": "np.random.Generator またはシード",
    "of the result; tg.Tensor has the argument": "結果に対して呼ぶ。tg.Tensor にはこの引数がある",
    "in DataLoader": "DataLoader の引数",
    "leave it out: everything is in memory": "省く。データはすべてメモリ上にある",
    "Dtypes and devices": "dtype とデバイス",
    'or "c"': 'または "c"',
    "the other creation functions take dtype=, too": "ほかの作成関数にも dtype= がある",
    "there is one device, the CPU; leave the call out": "デバイスは CPU だけ。この呼び出しは省く",
    "Gradients": "勾配",
    "also x.data; both are NumPy arrays": "x.data も同じで、どちらも NumPy の配列",
    "recorded, as in PyTorch": "PyTorch と同じく計算グラフに記録される",
    "parameters inside of tg.no_grad()": "パラメータは tg.no_grad() の中で",
    "likewise the other functions: no operation works in place": "ほかの関数も同様。インプレースの演算はない",
    "draws the graph; x.node is its last node": "計算グラフを描く。x.node は最後のノード",
    "a forward and one rule per input": "順伝播の関数と、入力ごとに一つの微分の式",
    "the transformations are in tg.func": "関数変換は tg.func にある",
    "Training": "学習",
    "files are safetensors, never pickle": "ファイルは safetensors 形式で、pickle は使わない",
    "no operation works in place": "インプレースの演算はない",
    "Layers": "層",
    "layers take the number of inputs too; nn.LazyLinear(10) finds it out": (
        "層には入力の数も渡す。nn.LazyLinear(10) は最初の入力から決める"
    ),
    "images are (N, C, H, W)": "画像は (N, C, H, W)",
    "sequences are (N, C, L)": "系列は (N, C, L)",
    "and nn.Flatten() after it": "その後に nn.Flatten()",
    "or BatchNorm1d": "または BatchNorm1d",
    "not needed: a model has no declared input": "不要。モデルに入力の宣言はない",
    "build and call are __init__ and forward": "build と call は __init__ と forward に当たる",
    "write forward(self, x), with tg.concat for joining": "forward(self, x) を書く。連結は tg.concat",
    "tg.compile compiles functions": "tg.compile は関数をコンパイルするもの",
    "after model.eval(), inside of tg.no_grad(); or Trainer.predict": (
        "model.eval() の後、tg.no_grad() の中で呼ぶ。または Trainer.predict"
    ),
    "operations on Tensors that require grad are recorded": "requires_grad のテンソルの演算は記録される",
    "also mean, max, min": "mean、max、min も同様",
    "split off by train_part, part = data.split((X, y), (0.8, 0.2))": (
        "train_part, part = data.split((X, y), (0.8, 0.2)) で分けておく"
    ),
    "a layer of its own in nn.Sequential": "nn.Sequential の中の独立した層にする",
    "not needed: the first argument of a layer is its input size": "不要。層の最初の引数が入力の数",
    "not needed: CrossEntropyLoss and BCEWithLogitsLoss take logits": (
        "不要。CrossEntropyLoss と BCEWithLogitsLoss はロジットを受け取る"
    ),
    "an argument of Trainer": "Trainer の引数",
    "an argument of gradcheck": "gradcheck の引数",
    "the probability is p": "確率の名前は p",
    "Arrays": "配列",
    "floats are float32": "浮動小数点数は float32 になる",
    "NumPy's own function works on Tensors, too": "NumPy の関数もテンソルに使える",
    "NumPy's functions on Tensors are recorded": "テンソルに使った NumPy の関数は記録される",
    "np.arcsin(x) works, too": "np.arcsin(x) も使える",
    "or tg.permute_dims": "または tg.permute_dims",
    "a new Tensor, not in place": "インプレースではなく、新しいテンソルを返す",
    "in nn and nn.functional, which have PyTorch's arguments": "nn と nn.functional では PyTorch の引数名を使う",
    "the array has these": "配列の属性を使う",
    "Estimators": "推定器",
    "in Trainer": "Trainer の引数",
    "an argument of the optimizer": "最適化アルゴリズムの引数",
    "an argument of the loss": "損失関数の引数",
    "examples are shuffled in each epoch": "データはエポックごとにシャッフルされる",
    'a loss with reduction="none" gives one number for each example to weigh': (
        'reduction="none" の損失関数はデータごとの値を返すので、それに重みを掛ける'
    ),
    "layers take the sizes of input and output; see nn.Conv2d": "層には入力と出力の数を渡す。nn.Conv2d も同様",
    "there is one device, the CPU: leave out moves to others": "デバイスは CPU だけなので、移動は省く",
    "of nn.Sequential": "nn.Sequential のメソッド",
    "dev_loss is what Keras calls val_loss": "Keras の val_loss は dev_loss",
    "or tg.load_model(path)": "または tg.load_model(path)",
    "Classifier has score": "Classifier には score がある",
    "the sizes of all parts": "全部分の大きさを渡す",
    "has fit, predict, score": "fit、predict、score がある",
    "Classifier and Regressor do it by themselves": "Classifier と Regressor は自動で標準化する",
    "rows that are equal stay in one part": "同じ行は同じ側に入る",
    "or fit((X, y), dev=(X_dev, y_dev))": "または fit((X, y), dev=(X_dev, y_dev))",
    "and scikit-learn's own with Classifier": "Classifier には scikit-learn の GridSearchCV も使える",
    "Classifier has predict_proba": "Classifier には predict_proba がある",
    "Classifier can be pickled": "Classifier は pickle できる",
    "in Classifier and Regressor; the optimizers have weight_decay": (
        "Classifier と Regressor の場合。最適化アルゴリズムには weight_decay がある"
    ),
    "in Classifier and Regressor; Trainer has callbacks=[train.EarlyStopping(patience=5)]": (
        "Classifier と Regressor の場合。Trainer には callbacks=[train.EarlyStopping(patience=5)] を渡す"
    ),
}
