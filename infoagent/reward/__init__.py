"""The reward of a compression: MI(z) − price · rate(z), in nats.

`reward_parts` is the formula; `MIReward` is the callable that TRL's trainers want. The whole reward is one callable on
purpose: split over two, a failed MI term would be dropped by the trainer and leave a pure length reward behind, as if
MI were 0.

MI(z) is the InfoNCE term log K + log r among the source and negatives that were drawn before training, under a frozen
scorer. With the PMI of a frozen scorer as reward, the policy gradient is the exact gradient of a lower bound on
I(X;Z|Q); it is therefore neither normalised nor clipped.
"""
