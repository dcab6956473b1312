"""Finite differences are those of the formula, and leave the arrays as they were."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dl.testing.finite_differences import along, columns, line, moved, relative_error, step_for

X, Y = np.array([[1.0, -2.0, 30.0]]), np.array([0.5, 4.0])


def cubes(arrays):
    x, y = arrays
    return np.array([(x**3).sum() * y[0], x[0, 1] * y[1] ** 2, 7.0])


def test_a_step_is_scaled_to_the_value_and_exact():
    for x in (0.0, 0.3, 1.0, -20.0, 1e9):
        h = step_for(x, 1e-5)
        assert x + h - x == h and h == pytest.approx(1e-5 * max(abs(x), 1), rel=1e-3)
        assert step_for(x) == pytest.approx(np.finfo(np.float64).eps ** (1 / 3) * max(abs(x), 1), rel=1e-3)


def test_one_element_of_copies_is_moved():
    found = moved([X, Y], 0, 2, 0.25)
    assert found[0].tolist() == [[1, -2, 30.25]] and found[1].tolist() == Y.tolist()
    assert line(cubes, [X, Y], 1, 1)(1.5)[1] == -2 * 5.5**2
    found[1][:] = 0
    assert X.tolist() == [[1, -2, 30]] and Y.tolist() == [0.5, 4]


def test_columns_and_directional_derivatives_are_those_of_the_formula():
    of_x = np.zeros((3, 3))
    of_x[:, 0], of_x[1, 1] = 3 * X[0] ** 2 * 0.5, 16
    of_y = np.array([[(X**3).sum(), 0, 0], [0, -2 * 2 * 4, 0]])
    for k, expected in ((0, of_x), (1, of_y)):
        for given in ({}, {"step": 1e-4}):
            rows = np.array(list(columns(cubes, [X, Y], k, **given)))
            np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-6)
            direction = np.arange(1.0, expected.shape[0] + 1).reshape((X, Y)[k].shape)
            found = along(cubes, [X, Y], k, direction, **given)
            np.testing.assert_allclose(found, direction.reshape(-1) @ expected, rtol=1e-5, atol=1e-6)
    assert X.tolist() == [[1, -2, 30]] and Y.tolist() == [0.5, 4]


def test_all_elements_are_moved_by_the_step_of_the_largest():
    places = []
    along(lambda arrays: places.append(arrays[0].copy()) or arrays[0], [X], 0, np.ones((1, 3)), 1e-3)
    np.testing.assert_allclose([places[0] - X, X - places[1]], np.full((2, 1, 3), 0.03), rtol=1e-9)
    places.clear()
    along(lambda arrays: places.append(arrays[0].copy()) or arrays[0], [X / 100], 0, np.ones((1, 3)), 1e-3)
    np.testing.assert_allclose(places[0] - X / 100, np.full((1, 3), 1e-3), rtol=1e-9)
    assert along(lambda arrays: arrays[0], [np.empty(0)], 0, np.empty(0)).size == 0


def test_the_relative_error_is_that_of_the_courses():
    assert relative_error([3.0, 0.0], [0.0, 4.0]) == pytest.approx(5 / 7)
    assert (
        relative_error([0.0], [0.0]) == 0
        and relative_error([], []) == 0
        and relative_error([0.0], [2.0]) == 1
    )
