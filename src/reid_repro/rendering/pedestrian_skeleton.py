"""A walking skeleton in three dimensions, in the 14-joint MPII order used by DeeperCut.

The body frame is x forward, y to the person's left, z up, in metres, with the ground at z = 0
below the pelvis. Segment lengths are shares of the stature (the usual anthropometric table:
hip at 0.53, knee at 0.285, shoulder at 0.82 of it); the gait is a sine for the thighs, a
flexion of the knee in the swing phase, and arms that swing against the legs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

Point = tuple[float, float, float]
Arm = Literal["swing", "phone", "pocket", "strap"]

JOINTS: Final[tuple[str, ...]] = (
    "r-ankle", "r-knee", "r-hip", "l-hip", "l-knee", "l-ankle",
    "r-wrist", "r-elbow", "r-shoulder", "l-shoulder", "l-elbow", "l-wrist",
    "chin", "forehead",
)  # fmt: skip

# Bones to draw between joints, as pairs of rows of JOINTS.
BONES: Final[tuple[tuple[int, int], ...]] = (
    (0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9), (9, 10), (10, 11),
    (2, 8), (3, 9), (12, 13),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pose:
    """What one photograph does to a skeleton. Angles in radians."""

    phase: float  # of the gait, 0..2 pi
    speed: float  # 0 = standing, 1 = a brisk walk
    lean: float  # of the trunk, forward
    head_yaw: float  # to the person's left
    head_pitch: float  # downwards
    left_arm: Arm
    right_arm: Arm


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Joint positions and the frames that clothes hang on. All points in metres.

    `left` and `right` hold hip, knee, ankle, toe, shoulder, elbow, wrist, fingertip.
    """

    stature: float
    pelvis: Point
    spine: Point  # unit vector up the trunk
    chest_yaw: float
    head: Point  # the centre of the skull
    head_forward: Point
    head_left: Point
    head_up: Point
    left: dict[str, Point]
    right: dict[str, Point]
    chin: Point
    forehead: Point

    def joints(self) -> tuple[Point, ...]:
        """The 14 joints in the order of JOINTS."""
        r, l = self.right, self.left  # noqa: E741
        return (
            r["ankle"], r["knee"], r["hip"], l["hip"], l["knee"], l["ankle"],
            r["wrist"], r["elbow"], r["shoulder"], l["shoulder"], l["elbow"], l["wrist"],
            self.chin, self.forehead,
        )  # fmt: skip


def draw_pose(rng: np.random.Generator, *, phone_hand: bool, strap_side: str | None) -> Pose:
    """One photograph's pose: mostly walking, sometimes standing, sometimes with a busy hand.

    `phone_hand` forbids a raised right hand when False (it carries something); `strap_side`
    is the side whose hand may hold a shoulder strap.
    """
    walking = rng.random() < 0.8
    speed = float(rng.uniform(0.55, 1.0)) if walking else float(rng.uniform(0.0, 0.15))
    phase = float(rng.uniform(0, 2 * math.pi))
    lean = float(rng.normal(0.05, 0.025))
    head_yaw = float(rng.normal(0, 0.28))
    head_pitch = float(rng.normal(0.06, 0.08))
    left: Arm = "swing"
    right: Arm = "swing"
    busy = rng.random(2)
    if phone_hand and busy[0] < 0.12:
        right, head_pitch = "phone", head_pitch + 0.2
    elif phone_hand and busy[0] < 0.22:
        right = "pocket"
    if strap_side == "left" and busy[1] < 0.2:
        left = "strap"
    elif busy[1] > 0.9:
        left = "pocket"
    return Pose(phase, speed, lean, head_yaw, head_pitch, left, right)


def _add(p: Point, q: Point, factor: float = 1.0) -> Point:
    return (p[0] + factor * q[0], p[1] + factor * q[1], p[2] + factor * q[2])


def _leg(phase: float, speed: float, side: float, h: float, hip_half: float) -> dict[str, Point]:
    """Hip, knee, ankle, toe with the hip's height at 0; `side` is +1 for the left leg."""
    thigh = 0.03 + 0.44 * speed * math.sin(phase)
    flexion = 0.06 + 0.95 * speed * max(0.0, math.cos(phase + 0.35)) ** 2
    shin = thigh - flexion
    foot = 0.65 * shin if shin < 0 else 0.5 * shin
    hip = (0.0, side * hip_half, 0.0)
    knee = (
        0.245 * h * math.sin(thigh),
        side * (hip_half + 0.006 * h),
        -0.245 * h * math.cos(thigh),
    )
    ankle = (
        knee[0] + 0.242 * h * math.sin(shin),
        side * (hip_half + 0.002 * h),
        knee[2] - 0.242 * h * math.cos(shin),
    )
    toe = (
        ankle[0] + 0.105 * h * math.cos(foot),
        ankle[1] + side * 0.018 * h,
        ankle[2] + 0.105 * h * math.sin(foot) - 0.022 * h,
    )
    return {"hip": hip, "knee": knee, "ankle": ankle, "toe": toe}


def _arm(
    shoulder: Point, kind: Arm, swing: float, side: float, h: float, girth: float
) -> dict[str, Point]:
    """Shoulder, elbow, wrist, fingertip. `swing` is the upper arm's angle, forward positive."""
    abduct = 0.10 + 0.10 * (girth - 1)
    inward = 0.0
    if kind == "phone":
        upper, bend, inward = 0.35, 1.75, 0.45
    elif kind == "strap":
        upper, bend, inward = 0.25, 2.35, 0.25
    elif kind == "pocket":
        upper, bend, inward, abduct = -0.35, 0.75, 0.30, 0.28
    else:
        upper, bend = swing, 0.22 + 0.5 * max(0.0, swing)
    elbow = (
        shoulder[0] + 0.17 * h * math.sin(upper) * math.cos(abduct),
        shoulder[1] + side * 0.17 * h * math.sin(abduct),
        shoulder[2] - 0.17 * h * math.cos(upper) * math.cos(abduct),
    )
    fore = upper + bend
    direction = (
        math.sin(fore) * math.cos(inward),
        side * (0.5 * math.sin(abduct) - math.sin(inward)),
        -math.cos(fore) * math.cos(inward),
    )
    norm = math.sqrt(sum(v * v for v in direction))
    unit = (direction[0] / norm, direction[1] / norm, direction[2] / norm)
    wrist = _add(elbow, unit, 0.15 * h)
    return {
        "shoulder": shoulder,
        "elbow": elbow,
        "wrist": wrist,
        "fingertip": _add(wrist, unit, 0.06 * h),
    }


def build_skeleton(
    pose: Pose, *, stature: float, girth: float = 1.0, shoulders: float = 1.0, hips: float = 1.0
) -> Skeleton:
    """The skeleton of a person of this stature (metres) and build in a pose.

    The pelvis is set so that the lower foot stands on the ground. `girth`, `shoulders` and
    `hips` are factors about 1.
    """
    h = stature
    hip_half = 0.052 * h * hips
    left = _leg(pose.phase, pose.speed, 1.0, h, hip_half)
    right = _leg(pose.phase + math.pi, pose.speed, -1.0, h, hip_half)
    # Soles lie 0.035 h below the ankle and at the toe's own height.
    lowest = min(
        min(leg["ankle"][2] - 0.037 * h, leg["toe"][2] - 0.015 * h) for leg in (left, right)
    )
    pelvis = (0.0, 0.0, -lowest)
    for leg in (left, right):
        for name, point in leg.items():
            leg[name] = _add(point, pelvis)

    spine = (math.sin(pose.lean), 0.0, math.cos(pose.lean))
    yaw = -0.12 * pose.speed * math.sin(pose.phase)  # the chest turns against the pelvis
    swing = 0.50 * pose.speed * math.sin(pose.phase)
    neck = _add(pelvis, spine, 0.274 * h)
    half = 0.103 * h * shoulders
    for leg, side, kind, angle in (
        (left, 1.0, pose.left_arm, -swing),
        (right, -1.0, pose.right_arm, swing),
    ):
        shoulder = _add(neck, (-side * half * math.sin(yaw), side * half * math.cos(yaw), 0.0))
        leg.update(_arm(shoulder, kind, angle, side, h, girth))

    turn, pitch = pose.head_yaw, pose.head_pitch
    forward = (math.cos(pitch) * math.cos(turn), math.cos(pitch) * math.sin(turn), -math.sin(pitch))
    leftward = (-math.sin(turn), math.cos(turn), 0.0)
    up = (math.sin(pitch) * math.cos(turn), math.sin(pitch) * math.sin(turn), math.cos(pitch))
    base = _add(pelvis, spine, 0.345 * h)
    head = _add(_add(base, up, 0.062 * h), forward, 0.012 * h)
    chin = _add(_add(head, up, -0.058 * h), forward, 0.022 * h)
    forehead = _add(_add(head, up, 0.045 * h), forward, 0.026 * h)
    return Skeleton(h, pelvis, spine, yaw, head, forward, leftward, up, left, right, chin, forehead)
