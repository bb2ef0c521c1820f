#pragma version 0.4.3
#pragma evm-version cancun

"""
@title Ray tracer
@license MIT
@notice Mirroring spheres on a chequered floor under one lamp, in fixed-point arithmetic. Lengths and shades are integers
    in units of 1e-9.
"""

struct Vector:
    x: int256
    y: int256
    z: int256

struct Sphere:
    centre: Vector
    radius: int256
    colour: Vector
    mirror: int256  # part of the light that is reflected

ONE: constant(int256) = 10**9
NEAR: constant(int256) = 10**6
FAR: constant(int256) = 10**13
BOUNCES: constant(uint256) = 4
SPHERES: constant(uint256) = 5
FLOOR: constant(uint256) = SPHERES
NOTHING: constant(uint256) = SPHERES + 1

spheres: Sphere[SPHERES]
lamp: Vector


@deploy
def __init__():
    self.spheres[0] = Sphere(
        centre=Vector(x=0, y=ONE, z=4 * ONE), radius=ONE, colour=Vector(x=ONE, y=ONE // 4, z=ONE // 5), mirror=ONE // 4
    )
    self.spheres[1] = Sphere(
        centre=Vector(x=-2 * ONE, y=ONE * 7 // 10, z=3 * ONE),
        radius=ONE * 7 // 10,
        colour=Vector(x=ONE // 5, y=ONE * 4 // 5, z=ONE // 4),
        mirror=ONE // 5,
    )
    self.spheres[2] = Sphere(
        centre=Vector(x=2 * ONE, y=ONE * 3 // 4, z=3 * ONE),
        radius=ONE * 3 // 4,
        colour=Vector(x=ONE // 4, y=ONE * 2 // 5, z=ONE),
        mirror=ONE // 3,
    )
    self.spheres[3] = Sphere(
        centre=Vector(x=ONE // 2, y=ONE * 3 // 10, z=ONE * 9 // 5),
        radius=ONE * 3 // 10,
        colour=Vector(x=ONE, y=ONE * 9 // 10, z=ONE // 5),
        mirror=ONE // 10,
    )
    self.spheres[4] = Sphere(
        centre=Vector(x=0, y=ONE * 5 // 2, z=8 * ONE),
        radius=ONE * 5 // 2,
        colour=Vector(x=ONE // 2, y=ONE // 2, z=ONE // 2),
        mirror=ONE * 3 // 4,
    )
    self.lamp = Vector(x=-4 * ONE, y=6 * ONE, z=-ONE)


@external
@view
def render(width: uint256, height: uint256) -> bytes32:
    """
    @notice Draw the scene on `width` by `height` pixels; a hash that runs over all of them.
    """
    digest: bytes32 = empty(bytes32)
    for row: uint256 in range(height, bound=4096):
        for column: uint256 in range(width, bound=4096):
            digest = keccak256(concat(digest, convert(self._pixel(column, row, width, height), bytes32)))
    return digest


@external
@view
def pixel(column: uint256, row: uint256, width: uint256, height: uint256) -> uint256:
    """
    @notice The colour of one pixel of the picture that `render` draws: red, green and blue, a byte each.
    """
    return self._pixel(column, row, width, height)


@internal
@view
def _pixel(column: uint256, row: uint256, width: uint256, height: uint256) -> uint256:
    across: int256 = convert(2 * column + 1, int256) * ONE // convert(width, int256) - ONE
    up: int256 = ONE - convert(2 * row + 1, int256) * ONE // convert(height, int256)
    up = up * convert(height, int256) // convert(width, int256)
    shade: Vector = self._trace(
        Vector(x=0, y=ONE * 6 // 5, z=-2 * ONE), self._unit(Vector(x=across, y=up, z=ONE * 3 // 2))
    )
    return self._byte(shade.x) << 16 | self._byte(shade.y) << 8 | self._byte(shade.z)


@internal
@view
def _trace(start: Vector, towards: Vector) -> Vector:
    origin: Vector = start
    direction: Vector = towards
    total: Vector = empty(Vector)
    weight: int256 = ONE
    for _: uint256 in range(BOUNCES):
        thing: uint256 = 0
        distance: int256 = 0
        thing, distance = self._nearest(origin, direction)
        if thing == NOTHING:
            sky: Vector = Vector(x=ONE // 2 + direction.y // 4, y=ONE * 3 // 5 + direction.y // 4, z=ONE * 9 // 10)
            return self._sum(total, sky, weight)
        point: Vector = self._sum(origin, direction, distance)
        normal: Vector = Vector(x=0, y=ONE, z=0)
        colour: Vector = Vector(x=ONE * 9 // 10, y=ONE * 9 // 10, z=ONE * 9 // 10)
        mirror: int256 = ONE // 8
        if thing == FLOOR:
            if ((point.x // ONE if point.x >= 0 else point.x // ONE - 1) + point.z // ONE) % 2 == 0:
                colour = Vector(x=ONE // 8, y=ONE // 8, z=ONE // 6)
        else:
            normal = self._unit(self._sum(point, self.spheres[thing].centre, -ONE))
            colour = self.spheres[thing].colour
            mirror = self.spheres[thing].mirror
        light: int256 = self._light(point, normal)
        part: int256 = weight * (ONE - mirror) // ONE * light // ONE
        total = Vector(
            x=total.x + colour.x * part // ONE, y=total.y + colour.y * part // ONE, z=total.z + colour.z * part // ONE
        )
        weight = weight * mirror // ONE
        if weight < ONE // 50:
            break
        origin = point
        direction = self._sum(direction, normal, -2 * self._dot(direction, normal))
    return total


@internal
@view
def _light(point: Vector, normal: Vector) -> int256:
    """
    @notice What reaches the point: a little from everywhere, and the lamp's if nothing stands between.
    """
    away: Vector = self._sum(self.lamp, point, -ONE)
    distance: int256 = self._length(away)
    direction: Vector = self._unit(away)
    slope: int256 = self._dot(direction, normal)
    ambient: int256 = ONE // 6
    if slope <= 0:
        return ambient
    thing: uint256 = 0
    obstacle: int256 = 0
    thing, obstacle = self._nearest(point, direction)
    if thing != NOTHING and obstacle < distance:
        return ambient
    return ambient + slope * (ONE - ambient) // ONE


@internal
@view
def _nearest(origin: Vector, direction: Vector) -> (uint256, int256):
    """
    @notice What the ray meets first, and how far away.
    """
    thing: uint256 = NOTHING
    distance: int256 = FAR
    if direction.y < 0:
        ground: int256 = -origin.y * ONE // direction.y
        if ground > NEAR:
            thing = FLOOR
            distance = ground
    for n: uint256 in range(SPHERES):
        out: Vector = self._sum(origin, self.spheres[n].centre, -ONE)
        radius: int256 = self.spheres[n].radius
        half: int256 = self._dot(out, direction)
        square: int256 = half * half // ONE - self._dot(out, out) + radius * radius // ONE
        if square <= 0:
            continue
        root: int256 = self._root(square)
        candidate: int256 = -half - root
        if candidate <= NEAR:
            candidate = root - half
        if candidate > NEAR and candidate < distance:
            thing = n
            distance = candidate
    return thing, distance


@internal
@pure
def _sum(a: Vector, b: Vector, factor: int256) -> Vector:
    return Vector(x=a.x + b.x * factor // ONE, y=a.y + b.y * factor // ONE, z=a.z + b.z * factor // ONE)


@internal
@pure
def _dot(a: Vector, b: Vector) -> int256:
    return (a.x * b.x + a.y * b.y + a.z * b.z) // ONE


@internal
@pure
def _length(a: Vector) -> int256:
    return self._root(self._dot(a, a))


@internal
@pure
def _unit(a: Vector) -> Vector:
    length: int256 = self._length(a)
    return Vector(x=a.x * ONE // length, y=a.y * ONE // length, z=a.z * ONE // length)


@internal
@pure
def _root(a: int256) -> int256:
    """
    @notice The square root by Newton's method.
    """
    square: int256 = a * ONE
    root: int256 = ONE if square < ONE * ONE else 8 * ONE
    for _: uint256 in range(64):
        better: int256 = (root + square // root) // 2
        if abs(better - root) <= 1:
            return better
        root = better
    return root


@internal
@pure
def _byte(shade: int256) -> uint256:
    return convert(min(max(shade, 0), ONE) * 255 // ONE, uint256)
