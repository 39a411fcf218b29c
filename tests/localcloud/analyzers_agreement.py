"""Compares the analyzers' stand-ins with pandas, SciPy and scikit-learn; prints ``agreed``.

Run by the seed environment's interpreter, which has them; the stand-ins' folder is its argument.
"""

import sys
from itertools import permutations

import numpy as np
import pandas as pd
from scipy import spatial, special, stats
from sklearn import metrics

sys.path.insert(0, sys.argv[1])
import clarify
import kernel_shap
import model_monitor as monitor

rng = np.random.default_rng(5)
frame = pd.DataFrame(
    {
        "normal": rng.normal(10, 3, 5000),
        "whole": rng.integers(-5, 50, 5000),
        "word": rng.choice(["x", "y", "z"], 5000, p=[0.6, 0.3, 0.1]),
    }
)
frame.loc[rng.choice(5000, 250, replace=False), "normal"] = np.nan
columns = [["" if pd.isna(v) else str(v) for v in frame[name]] for name in frame]
table = monitor.Table(tuple(frame), columns)
for name, column in zip(table.names, table.columns, strict=True):
    told, expected = monitor.describe(name, column), frame[name].dropna()
    if name == "word":
        buckets = told["string_statistics"]["distribution"]["categorical"]["buckets"]
        counts = {b["value"]: b["count"] for b in buckets}
        assert counts == expected.value_counts().to_dict(), counts
        continue
    numeric = told["numerical_statistics"]
    assert numeric["common"] == {"num_present": len(expected), "num_missing": 5000 - len(expected)}
    for key, value in {
        "mean": expected.mean(),
        "sum": expected.sum(),
        "min": expected.min(),
        "max": expected.max(),
        "std_dev": expected.std(ddof=0),
    }.items():
        assert np.isclose(numeric[key], value), (name, key)
    kll = numeric["distribution"]["kll"]
    counts, edges = np.histogram(expected, 10)
    assert [b["count"] for b in kll["buckets"]] == list(counts)
    assert np.allclose([b["lower_bound"] for b in kll["buckets"]], edges[:-1])
    # A sketch stands for all values, and its quantiles are theirs.
    levels = kll["sketch"]["data"]
    assert sum(len(level) * 2**n for n, level in enumerate(levels)) == len(expected)
    assert max(map(len, levels)) <= monitor.SKETCH
    exact = monitor.distance([sorted(expected)], levels, "Simple")
    assert exact < 0.002, exact
assert [monitor.inferred(c) for c in table.columns] == ["Fractional", "Integral", "String"]

for shift in (0, 0.2, 1):
    a, b = rng.normal(0, 1, 800), rng.normal(shift, 1, 600)
    found = monitor.distance(monitor.sketch(a), monitor.sketch(b), "Simple")
    assert np.isclose(found, stats.ks_2samp(a, b).statistic), shift
# By chance alone the corrected distance passes the threshold hardly ever.
alarms = 0
for n, m in [(1000, 50), (500, 500)] * 100:
    left, right = monitor.sketch(rng.normal(size=n)), monitor.sketch(rng.normal(size=m))
    alarms += monitor.distance(left, right, "Robust") > 0.1
assert alarms == 0, alarms

y = rng.normal(size=300)
p = y + rng.normal(0, 0.5, 300)


def quality(problem):
    columns = [[repr(v.item()) for v in values] for values in (y, p)]
    table = monitor.Table(("label", "prediction"), columns)
    told = monitor.quality(table, problem, "label", "prediction")
    return next(value for key, value in told.items() if key.endswith("_metrics"))


told = quality("Regression")
for name, value in {
    "mae": metrics.mean_absolute_error(y, p),
    "mse": metrics.mean_squared_error(y, p),
    "rmse": metrics.root_mean_squared_error(y, p),
    "r2": metrics.r2_score(y, p),
}.items():
    assert np.isclose(told[name]["value"], value), name
for same in (np.full(300, 2.0), np.full(300, 3.0)):
    for said in (p, same):
        value = metrics.r2_score(same, said)
        assert monitor._MEASURES["Regression"]["r2"](same, said) == value, value
# A bootstrap's deviation of a mean is known.
expected = np.abs(y - p).std() / np.sqrt(300)
assert 0.6 * expected < told["mae"]["standard_deviation"] < 1.5 * expected
y, p = rng.integers(0, 2, 300), rng.integers(0, 2, 300)
told = quality("BinaryClassification")
for name, measure in {
    "accuracy": metrics.accuracy_score,
    "precision": metrics.precision_score,
    "recall": metrics.recall_score,
    "f1": metrics.f1_score,
}.items():
    assert np.isclose(told[name]["value"], measure(y, p)), name

y = rng.choice(3, 300, p=[0.5, 0.3, 0.2])
p = np.where(rng.random(300) < 0.6, y, rng.integers(0, 3, 300))
told = quality("MulticlassClassification")
constant = np.full(300, 0)
assert np.bincount(y).argmax() == 0
for suffix, said in (("", p), ("_best_constant_classifier", constant)):
    known = {"average": "weighted", "zero_division": 0}
    for name, value in {
        "accuracy": metrics.accuracy_score(y, said),
        "weighted_recall": metrics.recall_score(y, said, **known),
        "weighted_precision": metrics.precision_score(y, said, **known),
        **{
            f"weighted_f{str(beta).replace('.', '_')}": metrics.fbeta_score(
                y, said, beta=beta, **known
            )
            for beta in (0.5, 1, 2)
        },
    }.items():
        assert np.isclose(told[name + suffix]["value"], value), name + suffix

facet, label = rng.random(400) < 0.3, rng.random(400) < 0.5
label &= ~(facet & (rng.random(400) < 0.4))
measured = clarify.measure(list(facet), list(label), list(clarify.METRICS))
told = {m["name"]: m["value"] for m in measured}
qa, qd = label[~facet].mean(), label[facet].mean()
pa, pd_ = np.array([qa, 1 - qa]), np.array([qd, 1 - qd])
expected = {
    "CI": ((~facet).sum() - facet.sum()) / 400,
    "DPL": qa - qd,
    "KL": special.rel_entr(pa, pd_).sum(),
    "JS": spatial.distance.jensenshannon(pa, pd_) ** 2,
    "LP": np.linalg.norm(pa - pd_),
    "TVD": np.abs(pa - pd_).sum() / 2,
    "KS": np.abs(pa - pd_).max(),
}
assert set(told) == set(expected)
for name, value in expected.items():
    assert np.isclose(told[name], value), name

# Bias of predictions: each rate from scikit-learn's confusion matrix of its side.
predicted = label ^ (rng.random(400) < 0.2)
measured = clarify.measure_predictions(facet, label, predicted, list(clarify.OF_PREDICTIONS))
told = {m["name"]: m["value"] for m in measured}
(tn_a, fp_a, fn_a, tp_a), (tn_d, fp_d, fn_d, tp_d) = (
    metrics.confusion_matrix(label[of], predicted[of]).ravel() for of in (~facet, facet)
)
accuracy, precision, recall = (
    [measure(label[of], predicted[of]) for of in (~facet, facet)]
    for measure in (metrics.accuracy_score, metrics.precision_score, metrics.recall_score)
)
benefit = predicted.astype(int) - label.astype(int) + 1
expected = {
    "AD": accuracy[0] - accuracy[1],
    "DAR": precision[0] - precision[1],
    "DCA": label[~facet].sum() / predicted[~facet].sum()
    - label[facet].sum() / predicted[facet].sum(),
    "DCR": (~label[facet]).sum() / (~predicted[facet]).sum()
    - (~label[~facet]).sum() / (~predicted[~facet]).sum(),
    "DI": predicted[facet].mean() / predicted[~facet].mean(),
    "DPPL": predicted[~facet].mean() - predicted[facet].mean(),
    "DRR": tn_d / (tn_d + fn_d) - tn_a / (tn_a + fn_a),
    "GE": np.mean((benefit / benefit.mean()) ** 2 - 1) / 2,
    "RD": recall[0] - recall[1],
    "SD": tn_d / (tn_d + fp_d) - tn_a / (tn_a + fp_a),
    "TE": fn_d / fp_d - fn_a / fp_a,
}
assert set(told) == set(expected)
for name, value in expected.items():
    assert np.isclose(told[name], value), name
nothing = clarify.measure_predictions(facet, label, np.zeros(400, bool), ["DI", "DPPL"])
assert [item["value"] for item in nothing] == [None, 0.0]


# Kernel SHAP: the definition of Shapley values, by all orders in which features can come.
def model(rows):
    return rows[:, 0] * rows[:, 1] + np.sin(rows[:, 2]) - 2 * rows[:, 3] ** 2


rows, base = rng.normal(size=(5, 4)), rng.normal(size=4)
exact = np.zeros((5, 4))
orders = list(permutations(range(4)))
for order in orders:
    mixed = np.tile(base, (5, 1))
    for feature in order:
        before = model(mixed)
        mixed[:, feature] = rows[:, feature]
        exact[:, feature] += (model(mixed) - before) / len(orders)
values, answer = kernel_shap.values(model, rows, base, 100)
assert np.allclose(values, exact)
assert np.isclose(answer, model(base[None, :])[0])
assert np.allclose(values.sum(axis=1), model(rows) - answer)
# Of many features, drawn coalitions come near: a linear function's values are known.
weights, rows, base = rng.normal(size=14), rng.normal(size=(3, 14)), rng.normal(size=14)
values, _ = kernel_shap.values(lambda asked: asked @ weights, rows, base, 600)
assert np.allclose(values, weights * (rows - base))
for _ in range(20):
    wanted, told = rng.random(6), rng.random(6)
    assert np.isclose(kernel_shap.ndcg(wanted, told), metrics.ndcg_score([wanted], [told]))


def attributed(*values):
    told = {"global_shap_values": dict(zip("abc", values, strict=True))}
    return {"explanations": {"kernel_shap": {"label0": told}}}


assert clarify.attribution_violations(attributed(5, 2, 1), attributed(6, 3, 1)) == []
(violation,) = clarify.attribution_violations(attributed(1, 2, 5), attributed(6, 3, 1))
assert (violation["label"], violation["metric_name"]) == ("label0", "shap")
assert violation["constraint_check_type"] == "feature_attribution_drift_check"

labels, scores = rng.integers(0, 2, 200), rng.integers(0, 20, 200) / 20
assert np.isclose(monitor._area(labels, scores), metrics.roc_auc_score(labels, scores))
print("agreed")
