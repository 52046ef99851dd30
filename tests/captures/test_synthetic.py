"""The built-in capture: repeatable, consistent between its cameras, photos and points, and drawn by shapes that agree
with signed distances written here independently."""

import numpy as np
import pytest
import torch

from leansplat.captures import synthetic
from leansplat.captures.synthetic import synthetic_capture
from leansplat.captures.synthetic_scene import still_life
from leansplat.captures.synthetic_shapes import Box, Cone, Slab, Sphere, Torus
from leansplat.errors import InputError


@pytest.fixture(scope="module")
def capture():
    return synthetic_capture(views=24, size=96, seed=0)


def views_of(capture):
    return sorted(capture.train + capture.test, key=lambda view: view.name)


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_capture():
    first, again, other = (synthetic_capture(views=4, size=40, seed=seed) for seed in (5, 5, 6))
    for one, two in zip(views_of(first), views_of(again), strict=True):
        assert torch.equal(one.photo, two.photo)
        assert torch.equal(one.camera.world_to_camera, two.camera.world_to_camera)
    assert torch.equal(first.points.positions, again.points.positions)
    assert torch.equal(first.points.colors, again.points.colors)
    assert not torch.equal(first.train[0].photo, other.train[0].photo)


def test_every_eighth_view_by_name_is_held_out(capture):
    assert [view.name for view in capture.test] == ["view_000.png", "view_008.png", "view_016.png"]
    assert len(capture.train) == 21
    assert [view.name for view in capture.train] == sorted(view.name for view in capture.train)
    assert not {view.name for view in capture.train} & {view.name for view in capture.test}


def test_photos_are_eight_bit_and_fit_their_cameras(capture):
    for view in views_of(capture):
        assert view.photo.dtype == torch.uint8
        assert tuple(view.photo.shape) == (96, 96, 3)
        assert (view.camera.width, view.camera.height) == (96, 96)
        rotation = view.camera.world_to_camera[:3, :3]
        assert torch.allclose(rotation @ rotation.T, torch.eye(3, dtype=torch.float64), atol=1e-12)


def test_held_out_views_are_taken_from_every_height(capture):
    def elevations(views):
        return sorted(float(torch.rad2deg(torch.asin(-v.camera.position[1] / v.camera.position.norm()))) for v in views)

    low, middle, high = elevations(capture.test)
    assert low < 28 < middle < 48 < high


def test_cameras_look_at_the_table_with_up_at_minus_y(capture):
    spots = torch.tensor([[0.0, 0.0, 0.0], [0.0, -0.3, 0.0]])
    for view in views_of(capture):
        pixels, depth = view.camera.project(spots)
        assert (depth > 3).all()
        assert (pixels[0] - 48).abs().max() < 12
        assert pixels[1, 1] < pixels[0, 1] - 2  # what is higher is nearer the upper edge of the photo


def test_a_photo_is_the_mean_of_the_finer_photo_of_the_same_camera():
    coarse, fine = synthetic_capture(views=3, size=64), synthetic_capture(views=3, size=128)
    for one, two in zip(views_of(coarse), views_of(fine), strict=True):
        assert torch.equal(one.camera.world_to_camera, two.camera.world_to_camera)
        blocks = two.photo.double().reshape(64, 2, 64, 2, 3)
        anti_aliased = (one.photo - blocks.mean(dim=(1, 3))).abs().mean()
        picked = (one.photo - blocks[:, 0, :, 0]).abs().mean()
        assert picked > 8.0  # there is detail that a photo without anti-aliasing would get wrong
        assert anti_aliased < 0.4 * picked


def test_the_background_is_the_black_that_the_capture_states(capture):
    assert capture.background == (0.0, 0.0, 0.0)
    lowest = [view for view in views_of(capture) if view.camera.position[1] > -2.2]
    assert lowest
    for view in lowest:
        assert int(view.photo[:3].max()) == 0
        assert float((view.photo.sum(dim=2) > 0).double().mean()) > 0.35


def test_photos_are_neither_flat_nor_burnt_out(capture):
    photos = torch.stack([view.photo for view in views_of(capture)]).double() / 255
    seen = photos[photos.sum(dim=3) > 0]
    assert seen.std() > 0.2
    assert float((seen >= 1.0).double().mean()) < 0.05


def test_points_lie_on_the_surfaces(capture):
    points = scene_points(capture)
    gaps = []
    for item in still_life(0):
        gaps.append(np.abs(signed_distance(item.shape, item.axes.T @ (points - item.position[:, None]))))
    nearest = np.min(gaps, axis=0)
    assert points.shape[1] == synthetic.POINT_COUNT
    assert np.percentile(nearest, 99) < 4 * synthetic.POINT_POSITION_NOISE
    owners = np.bincount(np.argmin(gaps, axis=0), minlength=len(gaps))
    assert (owners > 5).all()  # no object is without points to start from


def test_points_on_the_open_table_have_the_colour_of_every_photo_of_them(capture):
    x, y, z = scene_points(capture)
    open_table = (np.abs(z) < 0.02) & (np.hypot(x, y) > 1.9) & (np.hypot(x, y) < 2.2)
    assert open_table.sum() > 200
    differences, shuffled = [], []
    colors = capture.points.colors[open_table]
    mixed = colors[torch.randperm(len(colors), generator=torch.Generator().manual_seed(0))]
    for view in views_of(capture):
        if view.camera.position[1] > -3.5:  # from the highest ring, nothing stands before the rim
            continue
        pixels, _ = view.camera.project(capture.points.positions[open_table])
        inside = ((pixels >= 0) & (pixels < 96)).all(dim=1)
        column, row = pixels[inside].long().unbind(dim=1)
        photo = view.photo[row, column].float() / 255
        differences.append((photo - colors[inside]).abs().mean(dim=1))
        shuffled.append((photo - mixed[inside]).abs().mean(dim=1))
    assert len(differences) == 8
    assert torch.cat(differences).median() < 0.06
    assert torch.cat(differences).median() < 0.4 * torch.cat(shuffled).median()


def test_polish_changes_with_the_view_and_the_rest_does_not():
    items = still_life(0)
    marble = next(item for item in items if item.name == "marble")
    normals = unit(np.array([[-0.5, 0.2, -0.1], [-0.5, 0.1, -0.9], [0.8, 0.9, 0.5]], dtype=np.float32))
    points = marble.position[:, None] + np.float32(marble.shape.radius) * normals
    hits = synthetic._Hits(marble, np.arange(3), points, normals)
    lamp = np.repeat(synthetic.LAMP_DIRECTION[:, None], 3, axis=1)
    from_above, from_side = (
        synthetic._shaded(items, hits, unit(points - np.array(eye, dtype=np.float32)[:, None]), lamp)
        for eye in ((0.0, 0.0, 5.0), (-5.0, -4.0, 2.0))
    )
    assert np.array_equal(from_above[0], from_side[0])
    assert np.abs(from_above[1] - from_side[1]).max() > 0.03


def test_a_highlight_is_where_the_lamp_is_mirrored():
    items = still_life(0)
    marble = next(item for item in items if item.name == "marble")
    eye = np.array([[-1.0], [-4.0], [3.0]], dtype=np.float32)
    random = np.random.default_rng(0)
    normals = unit(random.standard_normal((3, 4000)).astype(np.float32))
    points = marble.position[:, None] + np.float32(marble.shape.radius) * normals
    seen = unit(points - eye)
    visible = (normals * seen).sum(axis=0) < 0
    hits = synthetic._Hits(marble, np.arange(visible.sum()), points[:, visible], normals[:, visible])
    lamp = np.repeat(synthetic.LAMP_DIRECTION[:, None], visible.sum(), axis=1)
    shine = synthetic._shaded(items, hits, seen[:, visible], lamp)[1].sum(axis=0)
    brightest = normals[:, visible][:, shine.argmax()]
    toward_eye = -seen[:, visible][:, shine.argmax()]
    mirrored = 2 * (brightest @ toward_eye) * brightest - toward_eye
    assert mirrored @ synthetic.LAMP_DIRECTION > 0.98


def test_a_shadow_falls_along_the_light_and_only_there():
    items = still_life(0)
    marble = next(item for item in items if item.name == "marble")
    foot = marble.position - synthetic.LAMP_DIRECTION * (marble.position[2] / synthetic.LAMP_DIRECTION[2])
    points = np.stack([foot, [0.0, 2.0, 0.0]], axis=1).astype(np.float32)
    points[:, 1] = foot + np.array([0.0, 1.0, 0.0])
    up = np.repeat(np.array([[0.0], [0.0], [1.0]], dtype=np.float32), 2, axis=1)
    hits = synthetic._Hits(items[0], np.arange(2), points, up)
    lamp = np.repeat(synthetic.LAMP_DIRECTION[:, None], 2, axis=1)
    assert synthetic._unshadowed(items, hits, lamp, np.ones(2, dtype=np.float32)).tolist() == [0.0, 1.0]


SHAPES = [Sphere(0.7), Box((0.5, 0.3, 0.4), bevel=0.02), Torus(0.6, 0.25), Cone(0.5, 1.2), Slab(0.9, 0.2)]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: type(shape).__name__)
def test_a_ray_stops_where_it_first_meets_the_surface(shape):
    origins, directions = rays_from_above(3000)
    length = shape.distance(origins, directions)
    hit = np.isfinite(length)
    assert 0.1 < hit.mean() < 0.95
    points = origins[:, hit] + length[hit] * directions[:, hit]
    assert np.abs(signed_distance(shape, points)).max() < 2e-3
    for share in np.linspace(0.0, 0.98, 60):  # nothing is met before
        before = origins[:, hit] + share * length[hit] * directions[:, hit]
        assert signed_distance(shape, before).min() > -2e-3
    for along in np.linspace(0.0, 6.0, 200):  # and a ray that misses is never inside
        assert signed_distance(shape, origins[:, ~hit] + along * directions[:, ~hit]).min() > -2e-3


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: type(shape).__name__)
def test_normals_are_the_gradient_of_the_distance(shape):
    origins, directions = rays_from_above(3000)
    length = shape.distance(origins, directions)
    hit = np.isfinite(length)
    points = (origins[:, hit] + length[hit] * directions[:, hit]).astype(np.float64)
    step = 1e-5
    gradient = np.stack([
        (signed_distance(shape, points + step * axis[:, None]) - signed_distance(shape, points - step * axis[:, None]))
        / (2 * step)
        for axis in np.eye(3)
    ])  # fmt: skip
    agreement = (unit(gradient) * shape.normals(points.astype(np.float32))).sum(axis=0)
    # Edges have no gradient, and the box's normals turn there on purpose.
    assert np.mean(agreement > 0.999) > 0.85
    assert np.median(agreement) > 0.999999


def test_a_shared_origin_gives_the_same_distances_as_one_for_each_ray():
    _, directions = rays_from_above(500)
    eye = np.array([[0.4], [-1.9], [1.6]], dtype=np.float32)
    for shape in SHAPES:
        each = shape.distance(np.repeat(eye, 500, axis=1), directions)
        assert np.array_equal(shape.distance(eye, directions), each)


@pytest.mark.parametrize(("views", "size"), [(1, 64), (0, 64), (8, 0)])
def test_a_capture_of_nothing_is_refused(views, size):
    with pytest.raises(InputError, match="at least 2 views"):
        synthetic_capture(views=views, size=size)


@pytest.mark.parametrize("size", [1, 7, 65])
def test_odd_sizes_work(size):
    capture = synthetic_capture(views=2, size=size)
    assert tuple(capture.train[0].photo.shape) == (size, size, 3)
    assert int(capture.train[0].photo.max()) > 0


def scene_points(capture) -> np.ndarray:
    """Points (3, P) in the scene's own axes: z up where the capture has -y."""
    x, y, z = capture.points.positions.double().numpy().T
    return np.stack([x, z, -y])


def rays_from_above(count):
    """Rays from a ring of eyes to spots around the origin, never from below: bases and undersides are not modelled."""
    random = np.random.default_rng(1)
    angle, height = random.uniform(0, 2 * np.pi, count), random.uniform(0.8, 2.5, count)
    origins = np.stack([2 * np.cos(angle), 2 * np.sin(angle), height])
    targets = random.uniform(-0.7, 0.7, size=(3, count)) * np.array([[1.0], [1.0], [0.5]])
    return origins.astype(np.float32), unit(targets - origins).astype(np.float32)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=0)


def signed_distance(shape, points):
    """Distance of points (3, M) to a shape's surface, negative inside; standard closed forms."""
    x, y, z = points
    around = np.hypot(x, y)
    if isinstance(shape, Sphere):
        return np.linalg.norm(points, axis=0) - shape.radius
    if isinstance(shape, Torus):
        return np.hypot(around - shape.ring, z) - shape.tube
    if isinstance(shape, Box):
        beyond = np.abs(points) - np.array(shape.half)[:, None]
        return np.linalg.norm(np.maximum(beyond, 0), axis=0) + np.minimum(beyond.max(axis=0), 0)
    if isinstance(shape, Slab):
        beyond = np.stack([around - shape.radius, np.abs(z + shape.thickness / 2) - shape.thickness / 2])
        return np.linalg.norm(np.maximum(beyond, 0), axis=0) + np.minimum(beyond.max(axis=0), 0)
    # Cone: the side's half-plane and the base's, in the plane through the axis; near enough outside the edges.
    slant = np.hypot(shape.radius, shape.height)
    side = ((around - shape.radius) * shape.height + (z + shape.height / 2) * shape.radius) / slant
    return np.maximum(side, -shape.height / 2 - z)
