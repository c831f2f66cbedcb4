"""What the arithmetic on points does, on a CPU as on a GPU.

``x`` is a stack ``(B, C, L)`` (see :mod:`mixnorm.compute.layout`) of float16,
float32 or float64, in any order of memory.  Its *working dtype* is float32
for float16 and otherwise its own.  Where ``x`` is said to be an array or
points, it may also be what :meth:`Sample.with_origin`,
:meth:`Sample.precompute` and :meth:`Sample.standardized_sample` return.  A
mixture is ``weights`` ``(K,)``, ``means`` and ``variances`` ``(K, C)``.  All
arrays lie where ``x`` does.

The same input gives the same bits.
"""
import typing

from mixnorm.compute.carried import Carried


class Sample(typing.Protocol):

    """What is done to points before a fit."""

    def count_not_finite(self, x):
        """Counts values that are not a number or infinite.

        Args:
            x (array): Stack ``(B, C, L)``.

        Returns:
            int or array: Their number, without axes.

        """

    def with_origin(self, x):
        """Finds the origin of :meth:`Transform.find_origin` once.

        Args:
            x (array): Stack ``(B, C, L)``.

        Returns:
            array or points: What serves as the stack.

        """

    def precompute(self, x):
        """Computes once what every pass over the points needs.

        Args:
            x (array): Stack ``(B, C, L)``.

        Returns:
            array or points: What serves as the stack.

        """

    def standardized_sample(self, x, indices):
        """Gathers points in units of deviations, from near the origin.

        Args:
            x (array or points): Stack ``(B, C, L)``.
            indices (array): Numbers ``(m,)`` of the points, int64,
                ascending; ``None`` for all.

        Returns:
            tuple: The points, an array ``(1, C, m)`` or points; what was
            subtracted from them and what they were divided by, ``(C,)`` in
            the working dtype; and their mean then, ``(C,)``, or ``None`` if
            it is 0.  What is subtracted is the mean, or 0 where the origin is
            near enough.  The divisor is the standard deviation, or 1 for a
            dimension without variation or whose variance the dtype could not
            hold.

        """


class Seeding(typing.Protocol):

    """K-means++ with local trials, and what other seedings are made of.

    Source: D. Arthur and S. Vassilvitskii, *k-means++: the advantages of
    careful seeding* (2007).

    """

    def seed(self, x, n_clusters, draws):
        """Chooses centres among the points by K-means++ with local trials.

        Args:
            x (array or points): Stack ``(B, C, L)``.
            n_clusters (int): Number of centres ``K``.
            draws (numpy.ndarray): Uniform numbers in [0, 1), of shape
                ``(1 + (K - 1) * n_trials,)``.

        Returns:
            tuple of arrays: Centres ``(K, C)`` in the working dtype and the
            numbers ``(K,)`` of the points they are, int64.

        Raises:
            ValueError: If a GPU's kernels cannot have so many centres.

        """

    def seeded_lloyd_step(self, x, n_clusters, draws):
        """Chooses centres by K-means++, runs the first of Lloyd's iterations.

        Args:
            x (array or points): Stack ``(B, C, L)``.
            n_clusters (int): Number of centres ``K``.
            draws (numpy.ndarray): See :meth:`seed`.

        Returns:
            Parameters: See :meth:`Mixture.lloyd_step`.

        Raises:
            ValueError: If a GPU's kernels cannot have so many centres.

        """

    def nearest(self, x, centers):
        """Finds the nearest of some centres for every point.

        Args:
            x (array or points): Stack ``(B, C, L)``.
            centers (array): ``(T, C)`` in the working dtype, however many.

        Returns:
            tuple of arrays: Numbers of the centres, the first of equals, and
            the squared distances from them: ``(B * L,)`` in the order of the
            points' numbers, int64 and the working dtype.

        """

    def take(self, x, indices):
        """Gathers points.

        Args:
            x (array or points): Stack ``(B, C, L)``.
            indices (array): Numbers ``(m,)`` of the points, int64.

        Returns:
            array: ``(m, C)`` in the working dtype.

        """


class Fit(typing.Protocol):

    """A whole fit: sample, seeding, K-means, EM, discard."""

    def at_once(self, x, indices, draws, n_components, kmeans_iter, em_iter,
                reg_covar, min_weight, start=None):
        """Runs a whole fit, where that takes less time than its steps.

        Args:
            x (array or points): Stack ``(B, C, L)``.
            indices (numpy.ndarray): See :meth:`Sample.standardized_sample`;
                in main memory.
            draws (numpy.ndarray or None): See :meth:`Seeding.seed`; not
                needed with ``start``.
            n_components (int): Number of components ``K``.
            kmeans_iter (int): Number of Lloyd's iterations.
            em_iter (int): Number of iterations of EM.
            reg_covar (float): Added to variances of the standardized sample.
            min_weight (float): Components of smaller weight are dropped.
            start (Parameters or None): What EM starts from, in units of the
                standardized sample, in place of seeding and K-means.

        Returns:
            Parameters or None: What the steps would return, to the bit;
            ``None`` if the steps have to be done.

        Raises:
            ValueError: If a GPU's kernels cannot have so many components.

        """


class Mixture(typing.Protocol):

    """Lloyd's and EM's iterations, posteriors and the moments under them.

    Every function of several components raises ValueError if a GPU's kernels
    cannot have so many.

    """

    def lloyd_step(self, x, centers):
        """Runs one of Lloyd's iterations.

        Args:
            x (array or points): Stack ``(B, C, L)``.
            centers (array): ``(K, C)``.

        Returns:
            Parameters: Shares, means and variances of the clusters of the
            points nearest to each centre, the first of equals.  A centre
            without points stays, with weight and variance 0.

        """

    def em_step(self, x, parameters, reg_covar):
        """Runs one iteration of EM.

        Args:
            x (array or points): Stack ``(B, C, L)``.
            parameters (Parameters): The mixture to start from.
            reg_covar (float): Added to variances.

        Returns:
            tuple: The new mixture, and the mean log density of the points
            under the one given, float64 without axes.

        """

    def em_sums(self, x, parameters, sample_weight):
        """Sums what an iteration of EM is made of, eq. (31) and after it.

        With ``t_ik = w_i tau_k(x_i)``, they are the counts
        ``n_k = sum_i t_ik`` and the first and second moments about the means
        given, ``sum_i t_ik (x_i - m_k)`` and ``sum_i t_ik (x_i - m_k)^2``.
        Sums of several stacks under one mixture add up to those of all their
        points.

        Args:
            x (array or points): Stack ``(B, C, L)``.
            parameters (Parameters): The mixture.
            sample_weight (array or None): ``w``, ``(B, L)``; ``None`` for 1.

        Returns:
            tuple of arrays: ``(K,)`` and twice ``(K, C)``, and
            ``sum_i w_i log p(x_i)`` without axes; float64.

        """

    def lloyd_sums(self, x, centers, sample_weight):
        """Sums what one of Lloyd's iterations is made of.

        Args:
            x (array or points): Stack ``(B, C, L)``.
            centers (array): ``(K, C)``.
            sample_weight (array or None): ``w``, ``(B, L)``; ``None`` for 1.

        Returns:
            tuple of arrays: The first three sums of :meth:`em_sums`, of the
            points nearest to each centre and about it.

        """

    def posterior(self, x, weights, means, variances):
        """Computes the posteriors of points under each of several mixtures.

        Args:
            x (array or points): Stack ``(B, C, L)``.
            weights (array): ``(T, K)``.
            means (array): ``(T, K, C)``.
            variances (array): ``(T, K, C)``; infinite ones stand for a
                channel that says nothing about a component.

        Returns:
            tuple of arrays: Posteriors ``(B, T * K, L)`` and log densities
            ``(T, B, L)``, in the working dtype.

        """

    def posterior_and_statistics(self, x, parameters):
        """Computes the posterior, eq. (31), and the moments under it.

        Args:
            x (array or points): Stack ``(B, C, L)``.
            parameters (Parameters): The mixture.

        Returns:
            tuple: Posterior ``(B, K, L)``; and its mean, the means and the
            variances of the points under it, eqs. (35, 36).

        """

    def statistics(self, x, tau):
        """Computes the moments of points under a posterior, eqs. (35, 36).

        Args:
            x (array or points): Stack ``(B, C, L)``.
            tau (array): Posterior ``(B, K, L)`` in the working dtype.

        Returns:
            Parameters: The posterior's mean, the points' means and variances.

        """

    def discard_and_rescale(self, parameters, min_weight, location, scale):
        """Drops light components, and returns to the units of the points.

        Args:
            parameters (Parameters): The mixture of a standardized sample.
            min_weight (float): Components of smaller weight are dropped:
                their weight becomes 0.  The heaviest is kept whatever it
                weighs.
            location (array or None): ``(C,)``, what was subtracted from the
                points.
            scale (array or None): ``(C,)``, what they were divided by.

        Returns:
            Parameters: The mixture in original units.

        """


class Transform(typing.Protocol):

    """The transform and its gradient: thin products at every point."""

    def find_origin(self, x):
        """Finds a point amid the data, for sums to be taken about.

        Args:
            x (array or points): Stack ``(B, C, L)``.

        Returns:
            array or None: ``(C,)`` in the working dtype, the median of a few
            points; ``None`` if 0 serves as well.

        """

    def affine(self, x, tau, slope, offset, origin, shift):
        """Computes ``(x - origin) * (tau slope) + tau offset + shift``.

        Args:
            x (array): Stack ``(B, C, L)``.
            tau (array): Coefficients ``(B, J, L)`` in the working dtype.
            slope (array): ``(J, C)``.
            offset (array): ``(J, C)``.
            origin (array or None): ``(C,)``.
            shift (array or None): ``(C,)``.

        Returns:
            array: ``(B, C, L)`` in ``x``'s dtype and order in memory.

        """

    def gradient_sums(self, x, gy, tau, origin):
        """Computes what the gradients of means and variances are made of.

        Args:
            x (array): Stack ``(B, C, L)``.
            gy (array): Gradient of the output, ``(B, C, L)``, in ``x``'s
                dtype.
            tau (array): Coefficients ``(B, J, L)`` in the working dtype.
            origin (array or None): ``(C,)``.

        Returns:
            tuple of arrays: ``sum_i tau_ij gy_i`` and
            ``sum_i tau_ij gy_i (x_i - origin)``, ``(J, C)``, and
            ``sum_i gy_i``, ``(C,)``; float64.

        """

    def gradient_input(self, x, gy, tau, slope, quadratic, offset, origin):
        """Computes the gradient of the input.

        It is
        ``gy * (tau slope) + (x - origin) * (tau quadratic) + tau offset``.

        Args:
            x (array): Stack ``(B, C, L)``.
            gy (array): Gradient of the output, ``(B, C, L)``, in ``x``'s
                dtype.
            tau (array): Coefficients ``(B, J, L)`` in the working dtype.
            slope (array): ``(J, C)``.
            quadratic (array or None): ``(J, C)``; ``None`` for 0, and then
                ``offset`` is 0 as well.
            offset (array or None): ``(J, C)``.
            origin (array or None): ``(C,)``.

        Returns:
            array: ``(B, C, L)`` in ``x``'s dtype and order in memory.

        """


class Coefficients(typing.Protocol):

    """What a training pass computes of a mixture between passes over points.

    It is arithmetic on ``(K, C)``: on a GPU each function is one kernel.

    """

    def of_batch(self, x, statistics, gamma, beta, eps, by_weight=False,
                 carried=Carried(), n_points=None):
        """Computes coefficients, and what is carried to the next mini-batch.

        Args:
            x (array or points): Stack ``(B, C, L)``.
            statistics (Parameters): Of the points under their posterior, in
                the working dtype.
            gamma (array): Scale, ``(C,)`` or, by number of component,
                ``(K, C)``.
            beta (array): Shift, likewise.
            eps (float): Added to variances.
            by_weight (bool): Whether components are numbered by weight, the
                heaviest 0; else, in the statistics' order.
            carried (Carried): What the layer has before the mini-batch.
            n_points (int or None): Number of points that the statistics are
                of; ``None`` for that of ``x``, which may be a part of them.

        Returns:
            tuple: The coefficients of the transform,
            :class:`mixnorm.compute.columns.Coefficients`; the number of each
            component, ``(K,)``, or ``None`` without ``by_weight``; and
            :class:`mixnorm.compute.carried.Carried` after the mini-batch,
            whose components are in the order of their numbers: entries of
            the queue have the unbiased variances, a start is in units of the
            mini-batch's channels.

        """

    def batch_gradients(self, x, statistics, gamma, eps, rank, origin, sums,
                        n_points=None):
        """Computes gradients, and the coefficients of that of the input.

        Args:
            x (array): Stack ``(B, C, L)``.
            statistics (Parameters): As in :meth:`of_batch`.
            gamma (array): As in :meth:`of_batch`.
            eps (float): As in :meth:`of_batch`.
            rank (array or None): The number of each component, of
                :meth:`of_batch`.
            origin (array or None): ``(C,)``, of :meth:`of_batch`.
            sums (tuple of arrays): What :meth:`Transform.gradient_sums`
                returned with that origin.
            n_points (int or None): As in :meth:`of_batch`.

        Returns:
            mixnorm.compute.columns.Gradients: Of gamma's dtype, and
            coefficients in the working dtype.

        """


class Rows(typing.Protocol):

    """Arithmetic on rows.

    A *row* is what a sample holds of a channel: ``x`` is ``(N, C, L)``, in
    any order of memory, and has ``N * C`` rows of ``L`` values.

    """

    def means(self, x):
        """Computes the mean of each row.

        Args:
            x (array): ``(N, C, L)``.

        Returns:
            array: ``(N, C)``, in the working dtype.

        """

    def moments(self, x):
        """Computes the mean and the variance of each row.

        Args:
            x (array): ``(N, C, L)``.

        Returns:
            tuple of arrays: Means ``(N, C)``, in the working dtype, and
            variances ``(N, C)``, float64.

        """

    def affine(self, x, center, slope, offset):
        """Computes ``(x - center) * slope + offset`` by rows.

        Args:
            x (array): ``(N, C, L)``.
            center (array): ``(N, C)``, in the working dtype.
            slope (array): Likewise.
            offset (array): Likewise.

        Returns:
            array: ``(N, C, L)`` in ``x``'s dtype and order in memory.

        """

    def gradient_sums(self, x, gy, center):
        """Computes the gradients of :meth:`affine`'s slope and offset.

        Args:
            x (array): ``(N, C, L)``.
            gy (array): Gradient of the output, ``(N, C, L)``, in ``x``'s
                dtype.
            center (array): ``(N, C)``, in the working dtype.

        Returns:
            tuple of arrays: Of each row, the sums of ``gy * (x - center)``
            and of ``gy``: ``(N, C)``, float64.

        """

    def gradient_input(self, x, gy, center, slope, quadratic, offset):
        """Computes ``gy * slope + (x - center) * quadratic + offset`` by rows.

        Args:
            x (array): ``(N, C, L)``.
            gy (array): Gradient of the output, ``(N, C, L)``, in ``x``'s
                dtype.
            center (array): ``(N, C)``, in the working dtype.
            slope (array): Likewise.
            quadratic (array or None): Likewise; ``None`` for 0.
            offset (array): Likewise.

        Returns:
            array: ``(N, C, L)`` in ``x``'s dtype and order in memory.

        """


class Modes(typing.Protocol):

    """What mode normalization computes between its passes over rows.

    It is arithmetic on ``(N, C)``, ``(N, K)`` and ``(K, C)``, from the rows'
    moments; see :mod:`mixnorm.functions.normalization.modes` for the
    equations.  ``gating`` is either the gates alone, or what they are
    computed by, ``W`` and ``b`` of ``softmax(W means + b)``; gamma and beta
    are ``(C,)``, or ``(K, C)`` by mode.

    """

    def of_samples(self, means, variances, gating, gamma, beta, eps,
                   statistics=None):
        """Computes the rows' coefficients by modes that samples belong to.

        Args:
            means (array): Of :meth:`Rows.moments`, ``(N, C)``.
            variances (array or None): Likewise; ``None`` with ``statistics``.
            gating (sequence of arrays): Gates ``(N, K)``; or ``(K, C)`` and
                ``(K,)``.
            gamma (array): Scale.
            beta (array): Shift.
            eps (float): Added to variances.
            statistics (sequence of arrays or None): The modes' means of ``x``
                and of ``x^2``, ``(K, C)``, where they are constants.

        Returns:
            mixnorm.compute.row_coefficients.RowCoefficients or None: ``None``
            if it has to be composed of functions of arrays.

        """

    def of_channels(self, means, variances, gating, gamma, beta, eps):
        """Computes the rows' coefficients by modes that each sample's channels
        belong to.

        Args:
            means (array): Of :meth:`Rows.moments`, ``(N, C)``.
            variances (array): Likewise.
            gating (sequence of arrays): Gates ``(N, C, K)``; or ``(K,)``
                twice.
            gamma (array): Scale.
            beta (array): Shift.
            eps (float): Added to variances.

        Returns:
            mixnorm.compute.row_coefficients.RowCoefficients or None: ``None``
            if it has to be composed of functions of arrays.

        """

    def averages(self, old, found, decay):
        """Computes running averages, ``decay * old + (1 - decay) * found``.

        Args:
            old (tuple of arrays): Averages of ``x`` and of ``x^2``, of one
                shape, float64.
            found (sequence of arrays): A mini-batch's, of as many elements.
            decay (float): Share that the old ones keep.

        Returns:
            tuple: A list of the new ones, which are the old ones if not all
            would be finite; and whether they would, a boolean array without
            axes.

        """


class Arithmetic(typing.Protocol):

    """The modules of :mod:`mixnorm.compute.cpu` and of ``compute.gpu``."""

    coefficients: Coefficients
    fit: Fit
    sample: Sample
    seeding: Seeding
    mixture: Mixture
    modes: Modes
    transform: Transform
    rows: Rows
