from train import gan
from train.experiments import gan as experiment
from train.experiments.tables import as_text


def test_recipes_are_what_the_paper_says():
    batch, mixture = (
        gan.SETTINGS.complete({'recipe': f'cifar10-dcgan-{name}'})
        for name in ('BN', 'MN'))
    assert batch['normalizer'] == 'batch' and batch['at'] is None
    assert mixture['normalizer'] == 'mixture'
    # Behind the first two deconvolutions.
    assert mixture['at'] == ['bn1', 'bn2']
    assert (mixture['components'], mixture['em_iterations']) == (3, 2)
    for settings in (batch, mixture):
        assert settings['dataset'] == 'cifar10'
        assert settings['iterations'] == 100000
        assert settings['distance_every'] == 10000
        # Reconstructed: DCGAN's, and those of Chainer-GAN-lib.
        assert (settings['lr'], settings['betas']) == (.0002, [.5, .999])
        assert (settings['batch_size'], settings['n_latent'],
                settings['width']) == (64, 100, 512)
    # Nothing else differs.
    assert {name for name in batch if batch[name] != mixture[name]} == {
        'recipe', 'normalizer', 'at'}


def test_every_recipe_says_what_was_reconstructed():
    assert experiment.RECONSTRUCTED.keys() == experiment.RECIPES.keys()
    for phrases in experiment.RECONSTRUCTED.values():
        assert isinstance(phrases, tuple)
        assert any('beta1' in phrase for phrase in phrases)
    for name in experiment.RECIPES:
        assert name in as_text(experiment.TABLES)
