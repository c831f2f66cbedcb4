import pytest

from train.adversarial import curves


@pytest.mark.parametrize('distances, size', [
    ({}, (340, 840)),
    ({'fid': 50., 'kid': .1, 'density': .5, 'coverage': .4}, (680, 1260))])
def test_there_is_a_panel_for_each_thing_in_the_log(distances, size, tmp_path):
    image = pytest.importorskip('matplotlib.image')
    log = [{'iteration': i, 'generator/loss': .7 * i,
            'discriminator/loss': 1.4, 'discriminator/real': .6,
            'discriminator/generated': .4} for i in (1, 2, 3)]
    log[1].update(distances)
    path = tmp_path / 'curves.png'
    curves.draw({'run': log}, str(path))
    # Panels of 420x340 pixels, three in a row.
    picture = image.imread(path)
    assert picture.shape[:2] == size
    # Each has axes.
    for top in range(0, size[0], 340):
        assert picture[top:top + 340, :420, :3].min() < .2
    assert [file.name for file in tmp_path.iterdir()] == ['curves.png']
