"""Chapter 17: right answers, and the mistakes that students make, each with words of the hint it must get."""

import numpy as np


def fit_head(features, labels, rounds, rate, sign=1, share=True, bias_too=True, squash=True):
    weights, bias = np.zeros(features.shape[1]), 0.0
    for _ in range(rounds):
        z = features @ weights + bias
        error = (1 / (1 + np.exp(-z)) if squash else z) - labels
        weights = weights - sign * rate * features.T @ error / (len(labels) if share else 1)
        if bias_too:
            bias = bias - sign * rate * (error.mean() if share else error.sum())
    return weights, bias


def seed_interval(first, second, t):
    more = np.subtract(second, first)
    reach = t * more.std(ddof=1) / np.sqrt(len(more))
    return more.mean() - reach, more.mean() + reach


def batch_norm(x, mean, variance, gamma, beta, training, axes=(0, 1, 2), epsilon=1e-3):
    if training:
        mean, variance = x.mean(axis=axes), x.var(axis=axes)
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


def answers(outputs, index_of):
    names = {index: name for name, index in index_of.items()}
    return [names[int(output >= 0.5)] for output in outputs[:, 0]]


def imprinted(weights, vectors):
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    mean = directions.mean(axis=0)
    return np.vstack([weights, mean / np.linalg.norm(mean)])


SOLUTIONS = {
    "17.1": fit_head,
    "17.2": seed_interval,
    "17.3": batch_norm,
    "17.4": answers,
    "17.5": imprinted,
}


def with_a_column_of_ones(features, labels, rounds, rate):
    wide = np.hstack([features, np.ones((len(features), 1))])
    both = np.zeros(wide.shape[1])
    for _ in range(rounds):
        both -= rate * wide.T @ (0.5 * (1 + np.tanh(wide @ both / 2)) - labels) / len(labels)
    return both[:-1], both[-1]


def picture_by_picture(features, labels, rounds, rate):
    weights, bias = [0.0] * features.shape[1], 0.0
    for _ in range(rounds):
        slope, slope_bias = np.zeros(len(weights)), 0.0
        for vector, label in zip(features, labels, strict=True):
            error = 1 / (1 + np.exp(-(np.dot(vector, weights) + bias))) - label
            slope, slope_bias = slope + error * vector, slope_bias + error
        weights = weights - rate * slope / len(labels)
        bias -= rate * slope_bias / len(labels)
    return [weights, np.array([bias])]


def as_mean_of_products(features, labels, rounds, rate):
    weights, bias = np.zeros(features.shape[1]), 0
    for _ in range(rounds):
        missing = labels - 1 / (1 + np.exp(-(features @ weights) - bias))
        weights = weights + rate * np.mean(features * missing[:, None], axis=0)
        bias = bias + rate * np.mean(missing)
    return weights, bias


def by_the_formula(first, second, t):
    more = [b - a for a, b in zip(first, second, strict=True)]
    mean = sum(more) / len(more)
    error = (sum((one - mean) ** 2 for one in more) / (len(more) - 1) / len(more)) ** 0.5
    return [mean - t * error, mean + t * error]


def by_variance(first, second, t):
    more = np.array(second) - np.array(first)
    return np.mean(more) + np.array([-1, 1]) * t * np.sqrt(np.var(more, ddof=1) / more.size)


def by_covariance(first, second, t):
    table = np.cov(first, second)
    reach = t * np.sqrt((table[0, 0] + table[1, 1] - 2 * table[0, 1]) / len(first))
    mean = np.mean(second) - np.mean(first)
    return mean - reach, mean + reach


def folded(x, mean, variance, gamma, beta, training):
    if training:
        mean = np.mean(x, (0, 1, 2))
        variance = np.mean(x**2, (0, 1, 2)) - mean**2
    scale = gamma / np.sqrt(variance + 0.001)
    return x * scale + (beta - mean * scale)


def by_channels(x, mean, variance, gamma, beta, training):
    out = np.empty_like(x)
    for c in range(x.shape[-1]):
        m, v = (x[..., c].mean(), x[..., c].var()) if training else (mean[c], variance[c])
        out[..., c] = gamma[c] * (x[..., c] - m) * (v + 1e-3) ** -0.5 + beta[c]
    return out


def flattened(x, mean, variance, gamma, beta, training):
    rows = x.reshape(-1, x.shape[-1])
    middle, spread = (rows.mean(0), rows.var(0)) if training else (mean, variance)
    return ((rows - middle) / np.sqrt(spread + 1e-3) * gamma + beta).reshape(x.shape)


def two_columns(outputs, index_of):
    both = np.hstack([1 - outputs, outputs])[:, ::-1]
    order = sorted(index_of, key=index_of.get)
    return [order[1 - int(row.argmax())] for row in both]


def by_search(outputs, index_of):
    found = []
    for (value,) in outputs:
        wanted = 1 if value >= 0.5 else 0
        found += [name for name, index in index_of.items() if index == wanted]
    return tuple(found)


def by_where(outputs, index_of):
    order = sorted(index_of, key=index_of.get)
    return np.where(outputs.ravel() < 0.5, order[0], order[1])


def sum_will_do(weights, vectors):
    total = sum(one / np.sqrt(one @ one) for one in vectors)
    return np.concatenate([weights, total[np.newaxis] / np.linalg.norm(total)])


def with_loops(weights, vectors):
    rows = [list(row) for row in weights]
    units = [[value / sum(v * v for v in one) ** 0.5 for value in one] for one in vectors]
    mean = [sum(column) / len(units) for column in zip(*units, strict=True)]
    return [*rows, [value / sum(v * v for v in mean) ** 0.5 for value in mean]]


def appended(weights, vectors):
    directions = (vectors.T / np.sqrt((vectors**2).sum(1))).T
    row = np.average(directions, axis=0)
    return np.append(weights, [row / np.sqrt(np.sum(row**2))], axis=0)


ALSO_RIGHT = (
    ("17.1", with_a_column_of_ones),
    ("17.1", picture_by_picture),
    ("17.1", as_mean_of_products),
    ("17.2", by_the_formula),
    ("17.2", by_variance),
    ("17.2", by_covariance),
    ("17.3", folded),
    ("17.3", by_channels),
    ("17.3", flattened),
    ("17.4", two_columns),
    ("17.4", by_search),
    ("17.4", by_where),
    ("17.5", sum_will_do),
    ("17.5", with_loops),
    ("17.5", appended),
)


def changed_interval(reach_of):
    def interval(first, second, t):
        more = np.subtract(second, first)
        reach = reach_of(np.array(first), np.array(second), more, t)
        return more.mean() - reach, more.mean() + reach

    return interval


def root(values):
    return np.sqrt(len(values))


WRONG = (
    ("17.1", lambda f, y, rounds, rate: fit_head(f, y, rounds, rate, sign=-1), "walks uphill"),
    ("17.1", lambda f, y, rounds, rate: fit_head(f, y, rounds, rate, share=False), "divide by their number"),
    ("17.1", lambda f, y, rounds, rate: fit_head(f, y, rounds, rate, bias_too=False), "The bias learns, too"),
    ("17.1", lambda f, y, rounds, rate: fit_head(f, y, rounds, rate, squash=False), "probability is missing"),
    ("17.1", lambda f, y, rounds, rate: fit_head(f, y, 1, rate), "One round is not all"),
    ("17.1", lambda f, y, rounds, rate: fit_head(f, y, rounds, rate)[0], "Return two things"),
    ("17.1", lambda f, y, rounds, rate: (np.zeros((f.shape[1], 1)), 0.0), "one weight for each feature"),
    ("17.2", lambda a, b, t: seed_interval(b, a, t), "second minus first"),
    ("17.2", changed_interval(lambda a, b, d, t: t * d.std() / root(d)), "ddof=1"),
    ("17.2", changed_interval(lambda a, b, d, t: t * d.std(ddof=1)), "divide by the root of n"),
    ("17.2", changed_interval(lambda a, b, d, t: 1.96 * d.std(ddof=1) / root(d)), "t standard errors"),
    (
        "17.2",
        changed_interval(lambda a, b, d, t: t * np.sqrt(a.var(ddof=1) + b.var(ddof=1)) / root(d)),
        "subtract pair by pair",
    ),
    ("17.2", lambda a, b, t: np.mean(np.subtract(b, a)), "the low and the high end"),
    ("17.3", lambda *a: batch_norm(*a[:5], not a[5]), "the other mode"),
    ("17.3", lambda *a: batch_norm(*a[:5], False), "the other mode"),
    ("17.3", lambda *a: batch_norm(*a, axes=0), "axis=(0, 1, 2)"),
    ("17.3", lambda *a: batch_norm(*a, epsilon=0), "A little is added"),
    (
        "17.3",
        lambda x, m, v, g, b, training: batch_norm(x, m, v, np.ones_like(g), np.zeros_like(b), training),
        "gamma and beta are missing",
    ),
    (
        "17.3",
        lambda x, m, v, g, b, training: batch_norm(x, m, (v + 1e-3) ** 2 - 1e-3, g, b, training=False),
        "the root of the variance",
    ),
    ("17.3", lambda x, *_: x.mean(axis=0), "has the shape of x"),
    ("17.4", lambda o, table: answers(np.zeros_like(o), table), "argmax says 0"),
    ("17.4", lambda o, table: [int(v >= 0.5) for v in o[:, 0]], "These are numbers"),
    ("17.4", lambda o, table: [list(table)[int(v >= 0.5)] for v in o[:, 0]], "Each name is the other one"),
    ("17.4", lambda o, table: answers(np.where(o == 0.5, 0.4, o), table), "Exactly a half"),
    ("17.4", lambda o, table: answers(o + 0.35, table), "the limit is a half"),
    ("17.4", lambda o, table: answers(o[:1], table), "one name for each output"),
    ("17.5", lambda w, v: imprinted(w, v)[-1:], "all rows that were there"),
    ("17.5", lambda w, v: imprinted(w, v)[::-1], "the new one comes last"),
    ("17.5", lambda w, v: np.vstack([w, v.mean(0) / np.linalg.norm(v.mean(0))]), "Long vectors count more"),
    (
        "17.5",
        lambda w, v: np.vstack([w, (v / np.linalg.norm(v, axis=1, keepdims=True)).mean(0)]),
        "shorter than 1",
    ),
)

SURVIVORS = ()
