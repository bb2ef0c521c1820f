#pragma version 0.4.3
#pragma evm-version cancun

"""
@title Benchmark numbers
@license MIT
@notice Programs that compute in memory and on the stack only: a Mandelbrot set, orbits of planets, a sort, a sieve.
"""

BITS: constant(uint256) = 64
FOUR: constant(int256) = 4 * 2**64
SCALE: constant(int256) = 10**18
BODIES: constant(uint256) = 5
MOST: constant(uint256) = 4096


@external
@pure
def mandelbrot(columns: uint256, rows: uint256, limit: uint256) -> uint256:
    """
    @notice How many steps the points of a grid over the Mandelbrot set take to escape, `limit` at most each, in all.
    """
    total: uint256 = 0
    width: int256 = convert(columns, int256)
    height: int256 = convert(rows, int256)
    for row: uint256 in range(rows, bound=4096):
        b: int256 = (convert(row, int256) * 5 << BITS) // (height * 2) - (5 << BITS) // 4
        for column: uint256 in range(columns, bound=4096):
            a: int256 = (convert(column, int256) * 7 << BITS) // (width * 2) - (5 << BITS) // 2
            x: int256 = 0
            y: int256 = 0
            for _: uint256 in range(limit, bound=10_000):
                xx: int256 = x * x >> BITS
                yy: int256 = y * y >> BITS
                if xx + yy > FOUR:
                    break
                y = (x * y >> BITS - 1) + b
                x = xx - yy + a
                total += 1
    return total


@external
@pure
def orbits(steps: uint256) -> int256[3]:
    """
    @notice Where the first of five bodies is after `steps` steps of gravitation, in units of 1e-18.
    """
    mass: int256[BODIES] = [39 * SCALE, 38 * SCALE // 1000, 11 * SCALE // 1000, SCALE // 500, SCALE // 400]
    x: int256[BODIES] = [0, 4841431442464720900, 8343366718244580000, 12894369562139131000, 15379697114850917000]
    y: int256[BODIES] = [0, -1160320044027428390, 4124798564124305000, -15111151401698631000, -25919314609987964000]
    z: int256[BODIES] = [0, -103622044471123109, -403523417114321381, -223307578892655734, 179258772950371181]
    u: int256[BODIES] = [0, 606326392995832000, -1010774346178792000, 1082791006441535000, 979090732243897000]
    v: int256[BODIES] = [0, 2811986844916260300, 1825662371230411500, 868713018169608000, 594698998647676000]
    w: int256[BODIES] = [0, -25218361659887630, 8415761376584154, -10832637401363636, -34755955504078104]
    step: int256 = SCALE // 100
    for _: uint256 in range(steps, bound=100_000):
        for i: uint256 in range(BODIES):
            for j: uint256 in range(BODIES):
                if j <= i:
                    continue
                dx: int256 = x[i] - x[j]
                dy: int256 = y[i] - y[j]
                dz: int256 = z[i] - z[j]
                square: int256 = dx * dx + dy * dy + dz * dz
                distance: int256 = convert(isqrt(convert(square, uint256)), int256)
                factor: int256 = step * SCALE // (square // SCALE * distance // SCALE)
                u[i] -= dx * mass[j] // SCALE * factor // SCALE
                v[i] -= dy * mass[j] // SCALE * factor // SCALE
                w[i] -= dz * mass[j] // SCALE * factor // SCALE
                u[j] += dx * mass[i] // SCALE * factor // SCALE
                v[j] += dy * mass[i] // SCALE * factor // SCALE
                w[j] += dz * mass[i] // SCALE * factor // SCALE
        for i: uint256 in range(BODIES):
            x[i] += u[i] * step // SCALE
            y[i] += v[i] * step // SCALE
            z[i] += w[i] * step // SCALE
    return [x[0], y[0], z[0]]


@external
@pure
def heapsort(count: uint256) -> uint256:
    """
    @notice Sort `count` numbers, at most 4,096, that look random; a sum that tells their order.
    """
    words: uint256[MOST] = empty(uint256[MOST])
    word: uint256 = 1
    for n: uint256 in range(count, bound=MOST):
        word = unsafe_add(unsafe_mul(word, 6364136223846793005), 1442695040888963407)
        words[n] = word >> 32
    left: uint256 = count // 2
    right: uint256 = count
    for _: uint256 in range(2 * MOST):
        if right <= 1:
            break
        held: uint256 = 0
        if left > 0:
            left -= 1
            held = words[left]
        else:
            right -= 1
            held = words[right]
            words[right] = words[0]
        parent: uint256 = left
        for _level: uint256 in range(13):
            child: uint256 = 2 * parent + 1
            if child >= right:
                break
            if child + 1 < right and words[child + 1] > words[child]:
                child += 1
            if words[child] <= held:
                break
            words[parent] = words[child]
            parent = child
        words[parent] = held
    total: uint256 = 0
    for n: uint256 in range(count, bound=MOST):
        total = unsafe_add(unsafe_mul(total, 3), words[n])
    return total


@external
@pure
def sieve(limit: uint256) -> uint256:
    """
    @notice How many primes lie below `limit`, which is at most 65,536.
    """
    composite: uint256[256] = empty(uint256[256])
    count: uint256 = 0
    for n: uint256 in range(2, limit, bound=65_536):
        if composite[n >> 8] >> (n & 255) & 1 == 1:
            continue
        count += 1
        multiple: uint256 = n * n
        for _: uint256 in range(32_768):
            if multiple >= limit:
                break
            composite[multiple >> 8] |= 1 << (multiple & 255)
            multiple += n
    return count
