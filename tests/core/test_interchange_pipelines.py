"""A diffusers network as a denoiser, and a polyscore sampler inside diffusers' pipelines: tiny, random, nothing downloaded."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.interchange.diffusers import DiffusersDenoiser, FromGenerator, PolyscoreScheduler
from polyscore.noise import Recorded
from polyscore.processes import VP, BetaTable
from polyscore.samplers import DDIM, DPMSolverPP, EDMChurn, Langevin, PredictorCorrector, from_diffusers, sample
from polyscore.state import Given

pytestmark = pytest.mark.filterwarnings("ignore")
STEPS = 5
diffusers: Any = importlib.import_module("diffusers")


@pytest.fixture(scope="module")
def unet() -> Any:
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    return diffusers.UNet2DModel(
        sample_size=8,
        in_channels=3,
        out_channels=3,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        layers_per_block=1,
        attention_head_dim=4,
        **blocks,
    ).eval()


@pytest.fixture(scope="module")
def conditional() -> Any:
    torch.manual_seed(1)
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        layers_per_block=1,
        cross_attention_dim=6,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    ).eval()


def start(seed: int = 0, batch: int = 2, shape: tuple[int, ...] = (3, 8, 8)) -> Tensor:
    return torch.randn((batch, *shape), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def loop(scheduler: Any, network: Any, x: Tensor, *, steps: int = STEPS, first: int = 0) -> Tensor:
    """The loop of a diffusers pipeline."""
    scheduler.set_timesteps(steps)
    if first and hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    for t in scheduler.timesteps[first:]:
        given = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(network(given, t).sample, t, x, return_dict=False)[0]
    return x


SCHEDULERS = [
    diffusers.DDIMScheduler(),
    diffusers.DDIMScheduler(timestep_spacing="trailing", prediction_type="v_prediction", rescale_betas_zero_snr=True),
    diffusers.PNDMScheduler(skip_prk_steps=True, steps_offset=1),
    diffusers.PNDMScheduler(),
    diffusers.EulerDiscreteScheduler(use_karras_sigmas=True),
    diffusers.HeunDiscreteScheduler(),
    diffusers.DPMSolverMultistepScheduler(use_karras_sigmas=True, thresholding=True),
    diffusers.UniPCMultistepScheduler(final_sigmas_type="sigma_min"),
    diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
]


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda s: type(s).__name__)
@torch.no_grad()
def test_a_unet_as_denoiser_gives_the_pipelines_result(scheduler: Any, unet: Any) -> None:
    process, sampler, grid = from_diffusers(scheduler)
    denoiser = DiffusersDenoiser.from_config(unet, scheduler, steps=STEPS)
    ours = sample(sampler, denoiser, process, start(), steps=STEPS, grid=grid, noise=Recorded([start()]))
    theirs = loop(scheduler, unet, start() * scheduler.init_noise_sigma if hasattr(scheduler, "init_noise_sigma") else start())
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max()))


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda s: type(s).__name__)
def test_the_adapter_follows_the_scheduler_it_was_read_from(scheduler: Any, unet: Any) -> None:
    ours = PolyscoreScheduler.from_config(scheduler)
    ours.set_timesteps(STEPS)
    scheduler.set_timesteps(STEPS)
    torch.testing.assert_close(
        ours.timesteps.double(), scheduler.timesteps.double(), rtol=1e-4, atol=1e-3
    )  # theirs are of float32 levels
    scale = float(getattr(scheduler, "init_noise_sigma", 1.0))
    assert ours.init_noise_sigma == pytest.approx(scale, rel=1e-5)
    got, wanted = loop(ours, unet, start() * scale), loop(scheduler, unet, start() * scale)
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))


@pytest.mark.parametrize("scheduler", [SCHEDULERS[0], SCHEDULERS[4], SCHEDULERS[6]], ids=lambda s: type(s).__name__)
def test_a_run_may_begin_in_the_middle_as_image_to_image_does(scheduler: Any, unet: Any) -> None:
    ours = PolyscoreScheduler.from_config(scheduler)
    ours.set_timesteps(STEPS)
    scheduler.set_timesteps(STEPS)
    image, noise, begin = start(1), start(2), scheduler.timesteps[2:3]
    noisy = [s.add_noise(image, noise, begin) for s in (ours, scheduler)]
    torch.testing.assert_close(noisy[0], noisy[1], rtol=1e-4, atol=1e-4)
    got, wanted = (loop(s, unet, noisy[1], first=2) for s in (ours, scheduler))
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))


def test_a_stochastic_pipeline_draws_what_diffusers_draws(unet: Any) -> None:
    images = []
    for scheduler in (
        diffusers.DDPMScheduler(clip_sample=True),
        PolyscoreScheduler.from_config(diffusers.DDPMScheduler(clip_sample=True)),
    ):
        pipe = diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler())
        pipe.scheduler = scheduler
        pipe.set_progress_bar_config(disable=True)
        made = pipe(batch_size=2, num_inference_steps=STEPS, generator=torch.Generator().manual_seed(3), output_type="np")
        images.append(torch.from_numpy(made.images))
    torch.testing.assert_close(images[0], images[1], rtol=0, atol=1e-4)


def test_a_sampler_of_this_library_runs_in_a_pipeline_and_outside_alike(unet: Any) -> None:
    process = BetaTable()
    pipe = diffusers.DDIMPipeline(unet, diffusers.DDIMScheduler())
    pipe.scheduler = PolyscoreScheduler(DPMSolverPP(order=3), process)
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(3)
    made = pipe(batch_size=2, num_inference_steps=STEPS, generator=generator, output_type="np").images
    with torch.no_grad():
        x = sample(DPMSolverPP(order=3), DiffusersDenoiser(unet, process), process, start(), steps=STEPS, init=start(3))
    expected = (x / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    torch.testing.assert_close(torch.from_numpy(made), expected, rtol=0, atol=1e-4)


def test_a_latent_transformer_pipeline_with_guidance_and_learned_variance() -> None:
    torch.manual_seed(2)
    transformer = diffusers.DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=4,
        in_channels=4,
        out_channels=8,
        num_layers=1,
        sample_size=8,
        patch_size=2,
        num_embeds_ada_norm=1000,
    ).eval()
    vae = diffusers.AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4, sample_size=8).eval()
    images = []
    for scheduler in (
        diffusers.DPMSolverMultistepScheduler(),
        PolyscoreScheduler.from_config(diffusers.DPMSolverMultistepScheduler()),
    ):
        pipe = diffusers.DiTPipeline(transformer, vae, diffusers.DDIMScheduler(), id2label={0: "a", 1: "b"})
        pipe.scheduler = scheduler
        pipe.set_progress_bar_config(disable=True)
        made = pipe(
            [0, 1], guidance_scale=2.0, num_inference_steps=4, generator=torch.Generator().manual_seed(5), output_type="np"
        )
        images.append(torch.from_numpy(made.images))
    torch.testing.assert_close(images[0], images[1], rtol=0, atol=1e-4)


@torch.no_grad()
def test_conditioning_reaches_the_network_and_half_precision_stays_inside(conditional: Any) -> None:
    process, x = BetaTable(), start(shape=(4, 8, 8)).double()
    texts = torch.randn((2, 3, 6), generator=torch.Generator().manual_seed(4))
    given = Given(cond={"encoder_hidden_states": texts})
    t = 500 / 1000
    made = DiffusersDenoiser(conditional, process, "v_prediction")(x, t, given).x0
    v = conditional(x.float(), torch.full((2,), 499), encoder_hidden_states=texts).sample.double()
    a, _, s = process.coefs_of(t)
    torch.testing.assert_close(made, a * x - s * v, rtol=1e-12, atol=1e-12)
    assert made.dtype == torch.float64
    other = DiffusersDenoiser(conditional, process, "v_prediction")(x, t, Given(cond={"encoder_hidden_states": -texts})).x0
    assert float((other - made).abs().max()) > 1e-3


def test_a_generator_per_sample_draws_each_sample_alone() -> None:
    like = torch.zeros(3, 4)
    together = FromGenerator([torch.Generator().manual_seed(k) for k in range(3)])(like)
    for k in range(3):
        torch.testing.assert_close(
            together[k : k + 1], torch.randn((1, 4), generator=torch.Generator().manual_seed(k)), rtol=0, atol=0
        )


def test_what_cannot_be_driven_is_refused(unet: Any) -> None:
    with pytest.raises(InputError, match="PredictorCorrector: makes no plan"):
        PolyscoreScheduler(PredictorCorrector(corrector=Langevin()), BetaTable())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="VP has no table; pass timesteps="):
        DiffusersDenoiser(unet, VP())
    with pytest.raises(InputError, match="EDMChurn: moves the state before the first evaluation"):
        PolyscoreScheduler(EDMChurn(), BetaTable()).set_timesteps(4)
    with pytest.raises(InputError, match="call set_timesteps"):
        PolyscoreScheduler(DDIM(), BetaTable()).scale_model_input(start(), 3)
    heun = PolyscoreScheduler.from_config(diffusers.HeunDiscreteScheduler())
    heun.set_timesteps(4)
    heun.set_begin_index(3)
    with pytest.raises(InputError, match="begin at the first of a step"):
        heun.scale_model_input(start())
    denoiser = DiffusersDenoiser(unet, BetaTable())
    with pytest.raises(InputError, match=r"given\.cond: a Tensor, expected a mapping"):
        denoiser(start(), 0.5, Given(cond=start()))
    with pytest.raises(InputError, match="one time a sample"):
        denoiser(start(), torch.tensor([0.1, 0.2]))
