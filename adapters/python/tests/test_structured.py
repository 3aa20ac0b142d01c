"""Distributions whose draws are vectors, or that are made of others."""

import numpy as np
import pytest

import ppxsim
from ppxsim import _rows as rows


def test_covariances_and_precisions_become_triangles():
    tril = np.array([[2, 0], [1.5, 0.5]])
    covariance = tril @ tril.T
    for d in (
        ppxsim.MultivariateNormal([0, 0], covariance),
        ppxsim.MultivariateNormal([0, 0], precision_matrix=np.linalg.inv(covariance)),
        ppxsim.MultivariateNormal([0, 0], scale_tril=tril),
    ):
        assert np.allclose(d.params[1], tril, atol=1e-12)
    batch = ppxsim.MultivariateNormal(np.zeros((3, 1, 2)), np.stack([covariance, np.eye(2)]))
    assert ppxsim.sample(batch).shape == (3, 2, 2)


def test_a_matrix_that_is_not_positive_definite_says_by_how_much():
    bad = ppxsim.MultivariateNormal([0, 0], [[1, 2], [2, 1]]).params[1]
    assert bad[0, 0] == pytest.approx(-1) and np.isnan(bad[1]).all()
    assert rows.valid_shape(rows.MULTIVARIATE_NORMAL, (np.zeros(2), bad)) is None
    with pytest.raises(ValueError, match="not symmetric"):
        ppxsim.MultivariateNormal([0, 0], [[1, 2], [3, 1]])
    with pytest.raises(ValueError, match="square matrix"):
        ppxsim.MultivariateNormal([0, 0], [1, 1])
    with pytest.raises(TypeError, match="one of covariance_matrix"):
        ppxsim.MultivariateNormal([0, 0])


def test_mixtures():
    m = ppxsim.Mixture([0.3, 0.7], [ppxsim.Normal(0, 1), ppxsim.Cauchy(5, 2)])
    assert not m.discrete and isinstance(ppxsim.sample(m), float)
    c = ppxsim.Mixture([1, 1], [ppxsim.Poisson(3), ppxsim.DiscreteUniform(1, 2)])
    assert c.discrete and isinstance(ppxsim.sample(c), int)
    same = ppxsim.MixtureSameFamily([[1, 1], [1, 3]], ppxsim.Normal([[0, 5], [-3, 7]], 2))
    assert same.params[2].tolist() == [[0, 2, 5, 2], [-3, 2, 7, 2]] and ppxsim.sample(same).shape == (2,)
    with pytest.raises(ValueError, match="invalid parameters"):
        ppxsim.sample(ppxsim.Mixture([1, 1], [ppxsim.Normal(0, 1), ppxsim.Poisson(3)]))
    with pytest.raises(ValueError, match="scalar families"):
        ppxsim.Mixture([1, 1], [ppxsim.Normal([0, 1], 1), ppxsim.Normal(0, 1)])


def test_values_are_sorted_and_stand_once():
    e = ppxsim.Empirical([3, 1, 3], [1, 2, 4])
    assert e.params[0].tolist() == [1, 3] and e.params[1].tolist() == [2, 5]
    with pytest.raises(ValueError, match="weights of shape"):
        ppxsim.Empirical([1, 2], [1])


def test_vectors_have_their_shapes_and_types():
    with ppxsim.local(seed=3):
        assert ppxsim.sample(ppxsim.Dirichlet([1, 2, 3])).sum() == pytest.approx(1)
        n = ppxsim.sample(ppxsim.Multinomial([5, 50], [1, 2, 3]))
        assert n.dtype == np.int64 and n.sum(axis=-1).tolist() == [5, 50]
        assert ppxsim.sample(ppxsim.MultivariateStudentT(3, [0, 0], np.eye(2))).shape == (2,)
        with pytest.raises(ValueError, match="invalid parameters"):
            ppxsim.sample(ppxsim.Dirichlet([1, 0]))
    ppxsim.factor(-1.0)  # without an engine it is nothing
    with pytest.raises(TypeError, match="the weight comes first"):
        ppxsim.factor("x")


def test_custom_distributions_are_of_numbers():
    with pytest.raises(TypeError, match="it gives one number"):
        ppxsim.custom(lambda u: [u(), u()], lambda x: 0.0)
    with pytest.raises(ValueError, match="not finite"):
        ppxsim.MultivariateNormal([0, 0], [[1, np.nan], [np.nan, 1]])
    for probs, normal in (([], ppxsim.Normal(0, 1)), ([0.5, 0.5], ppxsim.Normal([0, 1, 2], 1)), ([0.5, 0.5], ppxsim.Normal([[0, 1], [2, 3]], 1))):
        with pytest.raises(ValueError, match="they have that shape, or are numbers"):
            ppxsim.MixtureSameFamily(probs, normal)
