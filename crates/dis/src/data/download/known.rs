//! What `dis data download` knows by name.

/// A data set, or weights, with what has to be known before it is fetched.
pub(super) struct Known {
    /// As the command line spells it.
    pub(super) name: &'static str,
    /// What is in it.
    pub(super) what: &'static str,
    /// Under which terms it may be used.
    pub(super) terms: &'static str,
    /// Page of its authors.
    pub(super) page: &'static str,
    /// Its files; none where it cannot be had without a person.
    pub(super) files: &'static [KnownFile],
    /// The steps a person has to take, where something is left to do.
    pub(super) by_hand: Option<&'static str>,
}

/// One file, as it was published.
pub(super) struct KnownFile {
    pub(super) name: &'static str,
    pub(super) bytes: u64,
    pub(super) sha256: &'static str,
    /// Best first.
    pub(super) urls: &'static [&'static str],
}

impl Known {
    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// The known sets. Lengths and checksums are those that TensorFlow Datasets
/// (`celeb_a/checksums.tsv`) and the packages of CIFAR-10 publish; the MD5 sums on the page of
/// CIFAR-10 and in torchvision's lists belong to the same files.
pub(super) const ALL: [Known; 3] = [
    Known {
        name: "cifar10",
        what: "60,000 photographs, 32x32, 10 classes",
        terms: "no formal licence; cite Krizhevsky 2009",
        page: "https://www.cs.toronto.edu/~kriz/cifar.html",
        files: &[KnownFile {
            name: "cifar-10-binary.tar.gz",
            bytes: 170_052_171,
            sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            urls: &["https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"],
        }],
        by_hand: None,
    },
    Known {
        name: "celeba",
        what: "202,599 aligned faces, 178x218, 40 attributes",
        terms: "non-commercial research only; read the agreement on its page",
        page: "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        files: &[
            KnownFile {
                name: "list_eval_partition.txt",
                bytes: 2_836_386,
                sha256: "fc955bcb3ef8fbdf7d5640d9a8693a8431b5f2ee291a5c1449a1549e7e073fe7",
                urls: &[
                    "https://drive.usercontent.google.com/download?id=0B7EVK8r0v71pY0NSMzRuSXJEVkk&export=download&confirm=t",
                ],
            },
            KnownFile {
                name: "identity_CelebA.txt",
                bytes: 3_424_458,
                sha256: "c6143857c3e2630ac2da9f782e9c1232e5e59be993a9d44e8a7916c78a6158c0",
                urls: &[
                    "https://drive.usercontent.google.com/download?id=1_ee_0u7vcNLOfNLegJRHmolfH5ICW-XS&export=download&confirm=t",
                ],
            },
            KnownFile {
                name: "list_attr_celeba.txt",
                bytes: 26_721_026,
                sha256: "f0e5da289d5ccf75ffe8811132694922b60f2af59256ed362afa03fefba324d0",
                urls: &[
                    "https://drive.usercontent.google.com/download?id=0B7EVK8r0v71pblRyaVFSWGxPY0U&export=download&confirm=t",
                ],
            },
            KnownFile {
                name: "img_align_celeba.zip",
                bytes: 1_443_490_838,
                sha256: "46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74",
                urls: &[
                    "https://drive.usercontent.google.com/download?id=0B7EVK8r0v71pZjFTYXZWM3FlRnM&export=download&confirm=t",
                    // The same bytes, for PyTorch's tutorials.
                    "https://s3.amazonaws.com/pytorch-tutorial-assets/img_align_celeba.zip",
                ],
            },
        ],
        by_hand: Some(
            "the drive refuses a file that too many asked for on one day: then open \
             https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html in a browser, save \
             Img/img_align_celeba.zip, Eval/list_eval_partition.txt, Anno/identity_CelebA.txt and \
             Anno/list_attr_celeba.txt in one folder, and run the same command with --out FOLDER, \
             which checks them",
        ),
    },
    Known {
        name: "imagenet",
        what: "1,281,167 photographs, 1,000 classes, 148 GB",
        terms: "non-commercial research and education, after registration",
        page: "https://image-net.org/download.php",
        files: &[],
        by_hand: Some(
            "register at https://image-net.org/download.php, accept the terms and fetch \
             ILSVRC2012_img_train.tar; docs/data.md says how to lay it out",
        ),
    },
];
